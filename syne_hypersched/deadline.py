"""The stop criterion of a deadline: when it has passed, no trial process is left."""

from __future__ import annotations

import logging
import time
from typing import Any

from syne_tune.tuning_status import TuningStatus

from syne_hypersched import checks
from syne_hypersched._moments import Stopwatch

logger = logging.getLogger(__name__)


class Deadline:
    """Stop criterion for :class:`syne_tune.Tuner` that ends the tuning *by* a deadline rather than after it.

    Trials are asked to checkpoint and exit ``drain_s`` seconds before the deadline, and killed at the deadline. With
    :class:`~syne_hypersched.ElasticLocalBackend` this is done on time by the processes that watch the trials, whatever
    ``sleep_time`` the tuner has and however long a searcher thinks. With
    :class:`~syne_hypersched.ElasticSimulatorBackend` the deadline counts virtual seconds. With other backends the tuner
    stops the trials when it next looks. A tuner with ``wait_trial_completion_when_stopping=True`` ends at the deadline
    as well: trials that it would wait for are stopped then.

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
    TypeError
        ``deadline_s`` or ``drain_s`` is not a number.
    ValueError
        ``deadline_s`` is not a positive number, or ``drain_s`` not a number from 0 to below ``deadline_s``.
    """

    def __init__(self, deadline_s: float, trial_backend: Any = None, drain_s: float | None = None) -> None:
        self.deadline_s = checks.positive_seconds("deadline_s", deadline_s)
        if drain_s is None:
            drain_s = min(float(getattr(trial_backend, "grace_s", 0.0)), self.deadline_s / 20)
        self.drain_s = checks.number(
            "drain_s", drain_s, f"at least 0 and below deadline_s = {deadline_s} seconds",
            at_least=0.0, below=self.deadline_s,
        )  # fmt: skip
        self._trial_backend = trial_backend
        #: Seconds since the tuning started: the deadline also holds for a tuner that was saved.
        self._stopwatch = Stopwatch()
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
        if not self._stopwatch.is_running:
            self._stopwatch.start(elapsed_s=status.wallclock_time)
        return self.deadline_s - self._stopwatch.elapsed_s()

    @property
    def _is_virtual(self) -> bool:
        return hasattr(self._trial_backend, "time_s")

    def _now_s(self) -> float:
        """Virtual seconds since the start where the backend has them, else monotonic seconds of this process."""
        return float(self._trial_backend.time_s) if self._is_virtual else time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_stop_at": None}
