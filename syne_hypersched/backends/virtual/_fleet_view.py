"""What a tuner and a scheduler may ask of the fleet in virtual time at any moment, or have it write down."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from syne_tune.backend.trial_status import Status

from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.events import DECISION
from syne_hypersched.backends.virtual._launcher import VirtualLauncher
from syne_hypersched.backends.virtual._trial import VirtualTrial


class VirtualFleetView:
    """See the module."""

    record: Callable[..., None]
    pool: DevicePool
    _launcher: VirtualLauncher
    #: When trials that still run are killed, at the deadline.
    _kill_at_s: float
    _trials: dict[int, VirtualTrial]
    _active: dict[int, VirtualTrial]
    #: The trial that was published last.
    _incumbent: int | None = None

    def status(self, trial_id: int) -> str:
        """Status of a trial in the tuner's terms, to which a relaunch goes unnoticed."""
        return self._trials[trial_id].status

    def wished_devices(self, trial_id: int) -> int:
        """Number of devices requested for a trial; 0 if it must not run."""
        trial = self._trials.get(trial_id)
        return 0 if trial is None else trial.wants

    def occupied(self) -> list[tuple[int, str]]:
        """One entry (trial id, status) for each device that is held or promised."""
        self._let_happen()
        return [
            (trial.trial_id, Status.in_progress if trial.wants else Status.stopping)
            for trial in self._active.values()
            for _ in range(max(trial.wants, trial.holds))
        ]

    def follow(self, time_attr: str) -> None:
        """Sets the resource level, which is not needed here: no epoch is ever reported twice."""

    def publish(self, trial_id: int, result: Mapping[str, Any]) -> None:
        """Records that the trial is the incumbent because of ``result``."""
        trial, self._incumbent = self._trials[trial_id], trial_id
        if self.record is not record_nothing:
            self.record("best", trial_id, trial.devices, trial.launch, result=dict(result))

    def note(self, trial_id: int, what: str, reason: str, numbers: Mapping[str, float]) -> None:
        """Records why the scheduler decides something."""
        trial = self._trials[trial_id]
        self.record(DECISION, trial_id, trial.devices, trial.launch, reason, what=what, numbers=dict(numbers))

    def _record_setup(self) -> None:
        self.record(
            "setup", devices=self.pool.devices, mode="simulated", grace_s=self._launcher.drain_s,
            deadline_s=None if self._kill_at_s == math.inf else self._kill_at_s, launch_s=self._launcher.launch_s,
        )  # fmt: skip

    def _let_happen(self) -> None:
        raise NotImplementedError


def record_nothing(*_: object, **__: object) -> None:
    """A sink for events that are not recorded. Where much happens it is asked for by name, and not called."""
