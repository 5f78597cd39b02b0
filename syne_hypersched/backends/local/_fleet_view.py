"""What a tuner may ask of the fleet at any moment, and changes nothing."""

from __future__ import annotations

import threading

from syne_tune.backend.trial_status import Status

from syne_hypersched.backends.local._checkpoints import Checkpoints
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.local._roster import Roster
from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.reconcile import Phase


class FleetView:
    """See the module."""

    pool: DevicePool
    _trials: Roster
    _checkpoints: Checkpoints
    _lock: threading.RLock

    @property
    def time_attr(self) -> str | None:
        """Entry of the reports that is the resource level, if known."""
        return self._checkpoints.time_attr

    def wished_devices(self, trial_id: int) -> int:
        """Devices on which a trial is to run; 0 if it is not."""
        trial = self._trials.get(trial_id)
        return 0 if trial is None else trial.wants

    def max_num_devices(self, trial_id: int) -> int | None:
        """Most devices on which a trial may be launched; None: it has failed on no number of them."""
        trial = self._trials.get(trial_id)
        return None if trial is None else trial.failures.max_num_devices

    def processes(self, trial_id: int) -> TrialProcesses | None:
        """The record of a trial, if it was ever started."""
        return self._trials.get(trial_id)

    def occupied(self) -> list[tuple[int, str]]:
        """One entry (trial id, status) for each device that is held or promised."""
        with self._lock:
            return [
                (trial.trial_id, Status.in_progress if trial.wants else Status.stopping)
                for trial in self._trials.active
                for _ in range(max(trial.wants, len(self.pool.held_by(trial.trial_id))))
            ]

    def is_idle(self, trial_id: int) -> bool:
        """Whether no process of the trial exists."""
        trial = self._trials.get(trial_id)
        return trial is None or trial.phase is Phase.IDLE
