"""What a copy of a fleet in another process knows."""

from __future__ import annotations

import threading
from typing import Any

from syne_hypersched.backends.local._fleet_pool import BreathingFleet

#: Attributes that a copy of the fleet in another process creates again.
_OF_THIS_PROCESS = ("_lock", "_changed", "_launcher", "_by_handle", "_deadline", "_fault")


class CopiedFleet(BreathingFleet):
    """See the module."""

    _deadline: tuple[float, float] | None

    def __getstate__(self) -> dict[str, Any]:
        """State without processes: what a copy of the fleet in another process can know of."""
        with self._lock:
            return {name: value for name, value in self.__dict__.items() if name not in _OF_THIS_PROCESS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy in another process has no processes: what was running there is at its last checkpoint here."""
        self.__dict__.update(state)
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._launcher = None
        self._by_handle = {}
        self._deadline = None
        self._fault = None
        for trial in self._trials.values():
            trial.lose_processes()
            self.pool.release(trial.trial_id)
            self._trials.place(trial)
