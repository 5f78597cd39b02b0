"""The stop criterion for a deadline. After the deadline, no trial process is left."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from numbers import Real
from typing import Any

from syne_tune import Tuner
from syne_tune.optimizer.scheduler import TrialScheduler
from syne_tune.tuning_status import TuningStatus

from syne_hypersched import checks
from syne_hypersched._moments import Stopwatch

logger = logging.getLogger(__name__)


class Deadline:
    """Stop criterion for :class:`syne_tune.Tuner` that ends the tuning *by* a deadline, and not after it.

    Example: ``Tuner(..., stop_criterion=Deadline(3600, trial_backend=backend))``. Without a number,
    ``Deadline(trial_backend=backend)``, it uses the deadline for which :class:`~syne_hypersched.HyperSched` plans.

    Trials are asked to checkpoint and exit ``drain_s`` seconds before the deadline, and killed at the deadline. With
    :class:`~syne_hypersched.ElasticLocalBackend`, the processes that watch the trials do this on time, regardless of
    the tuner's ``sleep_time`` and of the time that a searcher takes. With
    :class:`~syne_hypersched.ElasticSimulatorBackend`, the deadline counts virtual seconds. With other backends, the
    tuner stops the trials when it next checks. A tuner with ``wait_trial_completion_when_stopping=True`` also ends at
    the deadline: the trials that it would wait for are stopped.

    Parameters
    ----------
    deadline_s
        Seconds after the start of the tuning. Default: the deadline of the scheduler, which the backend learns when the
        first trial starts.
    trial_backend
        The tuner's backend. A backend of this package enforces the deadline itself.
    drain_s
        Seconds for the trials to checkpoint and exit. Default: the ``grace_s`` of the backend, but at most a twentieth
        of ``deadline_s``.

    Raises
    ------
    TypeError
        ``deadline_s`` or ``drain_s`` is not a number.
    ValueError
        ``deadline_s`` is not positive, or ``drain_s`` is not at least 0 and below ``deadline_s``. Or ``deadline_s`` is
        missing, and the backend is not from this package, or the scheduler has no deadline when the first trial starts.
    """

    def __init__(
        self, deadline_s: float | None = None, trial_backend: Any = None, drain_s: float | None = None
    ) -> None:
        if isinstance(trial_backend, (Real, type, Iterable, Tuner, TrialScheduler)) or callable(trial_backend):
            raise TypeError(f"trial_backend must be the backend of the tuner, an object, but got {trial_backend!r}")
        self._trial_backend = trial_backend
        self._wished_drain_s = drain_s
        #: Seconds since the tuning started. So the deadline also holds for a tuner that was saved.
        self._stopwatch = Stopwatch()
        #: When the tuner stops, on the clock of :meth:`_now_s`; None until the backend knows the deadline.
        self._stop_at: float | None = None
        self.deadline_s: float | None = None
        self.drain_s = 0.0
        if deadline_s is None:
            situation = getattr(trial_backend, "situation", None)
            if situation is None:
                raise ValueError(
                    "deadline_s must be given, or trial_backend must be a backend of this package that knows the "
                    f"deadline for which the scheduler plans, but got {trial_backend!r}"
                )
            situation.takes_plan = True
        else:
            self._set(deadline_s)

    def _set(self, deadline_s: float) -> None:
        deadline_s = checks.positive_seconds("deadline_s", deadline_s)
        drain_s = self._wished_drain_s
        if drain_s is None:
            drain_s = min(float(getattr(self._trial_backend, "grace_s", 0.0)), deadline_s / 20)
        rule = f"at least 0 and below deadline_s = {deadline_s:g} seconds"
        self.drain_s = checks.number("drain_s", drain_s, rule, at_least=0.0, below=deadline_s)
        self.deadline_s = deadline_s

    def __call__(self, status: TuningStatus) -> bool:
        """Whether it is time to stop.

        Raises
        ------
        ValueError
            Neither this criterion nor the scheduler has a deadline.
        """
        deadline_s = self.deadline_s
        if deadline_s is None:
            deadline_s = self._planned_s(status)
            if deadline_s is None:
                return False
        if self._stop_at is None:
            seconds_left = self._seconds_left(deadline_s, status)
            set_deadline = getattr(self._trial_backend, "set_deadline", None)
            if set_deadline is not None:
                set_deadline(seconds_left, self.drain_s)
            self._stop_at = self._now_s() + seconds_left - self.drain_s
        return self._now_s() >= self._stop_at

    def _planned_s(self, status: TuningStatus) -> float | None:
        """The deadline for which the scheduler plans; None until it has named it."""
        planned_s: float | None = self._trial_backend.situation.planned_deadline_s
        if planned_s is not None:
            self._set(planned_s)
        elif status.num_trials_started:
            raise ValueError("deadline_s must be given, since this scheduler does not plan for a deadline")
        return planned_s

    def _seconds_left(self, deadline_s: float, status: TuningStatus) -> float:
        if self._is_virtual:
            return deadline_s - self._now_s()
        if not self._stopwatch.is_running:
            self._stopwatch.start(elapsed_s=status.wallclock_time)
        return deadline_s - self._stopwatch.elapsed_s()

    @property
    def _is_virtual(self) -> bool:
        return hasattr(self._trial_backend, "time_s")

    def _now_s(self) -> float:
        """Virtual seconds since the start if the backend has them, otherwise monotonic seconds of this process."""
        return float(self._trial_backend.time_s) if self._is_virtual else time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_stop_at": None}
