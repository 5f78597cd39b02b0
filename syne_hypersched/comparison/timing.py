"""Measures the real time of a scheduler's decisions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer.scheduler import TrialScheduler, TrialSuggestion


class TimedScheduler(TrialScheduler):
    """Wraps any scheduler and measures the real time that it takes.

    Attributes
    ----------
    elapsed_s
        Seconds spent in the scheduler so far.
    """

    def __init__(self, scheduler: TrialScheduler) -> None:
        super().__init__(random_seed=scheduler.random_seed)
        self.scheduler = scheduler
        self.elapsed_s = 0.0

    def suggest(self) -> TrialSuggestion | None:
        """Asks the scheduler which trial to start, timed."""
        return self._timed(self.scheduler.suggest)

    def on_trial_add(self, trial: Trial) -> None:
        """Tells the scheduler about a new trial, timed."""
        self._timed(self.scheduler.on_trial_add, trial=trial)

    def on_trial_error(self, trial: Trial) -> None:
        """Tells the scheduler about a failed trial, timed."""
        self._timed(self.scheduler.on_trial_error, trial=trial)

    def on_trial_result(self, trial: Trial, result: dict[str, Any]) -> str:
        """Asks the scheduler how to continue after a report, timed."""
        return str(self._timed(self.scheduler.on_trial_result, trial=trial, result=result))

    def on_trial_complete(self, trial: Trial, result: dict[str, Any]) -> None:
        """Tells the scheduler about a completed trial, timed."""
        self._timed(self.scheduler.on_trial_complete, trial=trial, result=result)

    def on_trial_remove(self, trial: Trial) -> None:
        """Tells the scheduler about a trial that was stopped or paused, timed."""
        self._timed(self.scheduler.on_trial_remove, trial=trial)

    def metric_names(self) -> list[str]:
        """Names of the metrics of the scheduler."""
        return list(self.scheduler.metric_names())

    def metric_mode(self) -> str:
        """Mode of the metrics of the scheduler."""
        return str(self.scheduler.metric_mode())

    def metadata(self) -> dict[str, Any]:
        """Metadata of the scheduler."""
        return dict(self.scheduler.metadata())

    def _timed(self, method: Callable[..., Any], **arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return method(**arguments)
        finally:
            self.elapsed_s += time.perf_counter() - started
