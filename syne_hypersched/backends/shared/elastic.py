"""The trial that elastic backends hand out: Syne Tune's own, and the wishes of the elastic contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from syne_tune.backend.trial_status import Status, TrialResult

from syne_hypersched import checks
from syne_hypersched.contract import Situation


class WishTaker(Protocol):
    """What a backend offers to its trials."""

    def wished_devices(self, trial_id: int) -> int:
        """See :attr:`syne_hypersched.contract.ResizableTrial.num_devices`."""
        ...

    def wish_devices(self, trial_id: int, num_devices: int) -> None:
        """See :meth:`syne_hypersched.contract.ResizableTrial.resize`."""
        ...

    def follow(self, time_attr: str) -> None:
        """See :meth:`syne_hypersched.contract.FollowedTrial.follow`."""
        ...

    def publish(self, trial_id: int, result: Mapping[str, Any]) -> None:
        """See :meth:`syne_hypersched.contract.PublishingTrial.publish`."""
        ...

    def note(self, trial_id: int, what: str, reason: str, numbers: Mapping[str, float]) -> None:
        """See :meth:`syne_hypersched.contract.RecordingTrial.note`."""
        ...


@dataclass
class ElasticTrial(TrialResult):
    """A trial of an elastic backend; see :mod:`syne_hypersched.contract` for its members."""

    backend: WishTaker | None = None
    """Where wishes go. ``None`` only in a copy without a backend, which cannot be resized."""

    @property
    def num_devices(self) -> int:
        """Number of devices requested for the trial."""
        return 0 if self.backend is None else self.backend.wished_devices(self.trial_id)

    @property
    def max_num_devices(self) -> int | None:
        """Most devices on which the trial can run; None: it has failed on no number of them."""
        # Not every backend finds out.
        find: Callable[[int], int | None] | None = getattr(self.backend, "max_num_devices", None)
        return None if find is None else find(self.trial_id)

    @property
    def num_devices_total(self) -> int | None:
        """Devices that the backend shares out among all trials; None: it does not say."""
        return None if self._situation is None else self._situation.num_devices

    @property
    def deadline_s(self) -> float | None:
        """Seconds after the start of the tuning by which the backend ends all trials; None: it was not told."""
        return None if self._situation is None else self._situation.deadline_s

    def plan_for(self, deadline_s: float) -> bool:
        """Tells the backend for which deadline the scheduler plans; whether it will end the trials by then."""
        if self._situation is None:
            return False
        self._situation.planned_deadline_s = deadline_s
        return self._situation.takes_plan

    @property
    def _situation(self) -> Situation | None:
        return getattr(self.backend, "situation", None)

    def resize(self, num_devices: int) -> None:
        """Asks for the trial to go on, from its checkpoint, on ``num_devices`` devices."""
        if self.backend is None:
            raise ValueError(f"trial {self.trial_id} has no backend that could resize it")
        self.backend.wish_devices(self.trial_id, num_devices)

    def follow(self, time_attr: str) -> None:
        """Names the entry of a report that is the resource level."""
        if self.backend is not None:
            self.backend.follow(time_attr)

    def publish(self, result: Mapping[str, Any]) -> None:
        """Says that the trial is the incumbent because of ``result``."""
        if self.backend is not None:
            self.backend.publish(self.trial_id, result)

    def measure(self, metric: str, do_minimize: bool) -> None:
        """Names the entry of a report by which trials are compared."""
        # Not every backend wants to know.
        measure: Callable[[str, bool], None] | None = getattr(self.backend, "measure", None)
        if measure is not None:
            measure(metric, do_minimize)

    def end_at(self, result: Mapping[str, Any]) -> None:
        """Says that the trial is stopped at this report."""
        # Not every backend hands out several reports of a trial at once.
        end_at: Callable[[int, Mapping[str, Any]], None] | None = getattr(self.backend, "end_at", None)
        if end_at is not None:
            end_at(self.trial_id, result)

    def note(self, what: str, reason: str, numbers: Mapping[str, float]) -> None:
        """Has it recorded why the scheduler decides something, at a report of this trial."""
        if self.backend is not None:
            self.backend.note(self.trial_id, what, reason, numbers)


def check_wish(num_devices: object, most: int) -> int:
    """The number of devices that a scheduler wishes for a trial.

    Raises
    ------
    TypeError
        It is not an integer.
    ValueError
        It is not from 1 to ``most``.
    """
    return checks.integer("num_devices", num_devices, at_least=1, at_most=most)


def paused_trial(trials: Mapping[int, ElasticTrial], trial_id: int) -> ElasticTrial:
    """The trial that the tuner wants to resume.

    Raises
    ------
    ValueError
        It does not exist or is not paused.
    """
    trial = trials.get(trial_id)
    if trial is None or trial.status != Status.paused:
        status = "does not exist" if trial is None else f"has status {trial.status}"
        raise ValueError(f"trial_id must name a paused trial, but trial {trial_id} {status}")
    return trial
