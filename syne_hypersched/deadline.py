"""The stop criterion of a deadline: when it has passed, no trial process is left."""

from __future__ import annotations

import logging
import time
from typing import Any

from syne_tune.tuning_status import TuningStatus

logger = logging.getLogger(__name__)


class Deadline:
    """Stop criterion for :class:`syne_tune.Tuner` that ends the tuning *by* a deadline rather than after it.

    Trials are asked to checkpoint and exit ``drain_s`` seconds before the deadline, and killed at the deadline. With
    :class:`~syne_hypersched.ElasticLocalBackend` this is done on time by the processes that watch the trials, whatever
    ``sleep_time`` the tuner has and however long a searcher thinks. With
    :class:`~syne_hypersched.ElasticSimulatorBackend` the deadline counts virtual seconds. With other backends the tuner
    stops the trials when it next looks.

    Example: ``Tuner(..., stop_criterion=Deadline(3600, trial_backend=backend))``.

    Parameters
    ----------
    deadline_s
        Seconds after the start of the tuning.
    trial_backend
        The tuner's backend, if it can keep a deadline.
    drain_s
        Seconds for the trials to checkpoint and exit; by default the ``grace_s`` of the backend, but at most a
        twentieth of ``deadline_s``.

    Raises
    ------
    ValueError
        ``deadline_s`` is not a positive number, or ``drain_s`` not a number from 0 to below ``deadline_s``.
    """

    def __init__(self, deadline_s: float, trial_backend: Any = None, drain_s: float | None = None) -> None:
        if not 0 < deadline_s < float("inf"):
            raise ValueError(f"deadline_s must be a positive number of seconds, but got {deadline_s!r}")
        if drain_s is None:
            drain_s = min(float(getattr(trial_backend, "grace_s", 0.0)), deadline_s / 20)
        if not 0 <= drain_s < deadline_s:
            raise ValueError(f"drain_s must be at least 0 and below deadline_s = {deadline_s}, but got {drain_s!r}")
        self.deadline_s = float(deadline_s)
        self.drain_s = float(drain_s)
        self._trial_backend = trial_backend
        #: When the tuning started (seconds since the epoch): the deadline also holds for a tuner that was saved.
        self._started: float | None = None
        #: When the tuner stops, by :meth:`_now_s`; None until the backend knows the deadline.
        self._stop_at: float | None = None

    def __call__(self, status: TuningStatus) -> bool:
        """Whether it is time to stop."""
        if self._stop_at is None:
            seconds_left = self._seconds_left(status)
            set_deadline = getattr(self._trial_backend, "set_deadline", None)
            if set_deadline is not None:
                set_deadline(seconds_left, self.drain_s)
            self._stop_at = self._now_s() + seconds_left - self.drain_s
        return self._now_s() >= self._stop_at

    def _seconds_left(self, status: TuningStatus) -> float:
        if self._is_virtual:
            return self.deadline_s - self._now_s()
        now = time.time()
        if self._started is None:
            self._started = now - status.wallclock_time
        return self._started + self.deadline_s - now

    @property
    def _is_virtual(self) -> bool:
        return hasattr(self._trial_backend, "time_s")

    def _now_s(self) -> float:
        """Virtual seconds since the start where the backend has them, else monotonic seconds of this process."""
        return float(self._trial_backend.time_s) if self._is_virtual else time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_stop_at": None}
