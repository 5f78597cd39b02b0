"""A multi-fidelity optimiser that is asked for configurations and told values, as a scheduler of Syne Tune."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer.scheduler import SchedulerDecision, TrialSuggestion

from syne_hypersched.comparison.asked import AskedScheduler


@dataclass(frozen=True)
class Job:
    """What an optimiser asks for: a configuration at a level."""

    config: Mapping[str, Any]
    level: float
    key: object
    """The same for each job of one configuration: it goes on where its last job ended."""
    handle: Any
    """What the optimiser is told with the value."""


class Optimizer(Protocol):
    """What an optimiser can do. Values are finite and to be minimised."""

    def ask(self) -> Job | None:
        """The next job; None if there is none any more, after which it is not asked again."""
        ...

    def tell(self, job: Job, value: float, seconds: float) -> None:
        """Takes the value of a job, and the seconds that it took."""
        ...


class AskAndTell(AskedScheduler[Job]):
    """Runs the jobs of an optimiser: a trial is paused at the level of its job and goes on if a job wants more of it.

    The value of a job is the one reported at its level. A value that is not finite, and a trial that fails, count as
    the worst value so far.

    Parameters
    ----------
    optimizer
        The optimiser.
    config_space
        Configuration space, for the metadata of an experiment.
    metric, time_attr
        Entries of a report: what is optimised, and the resource level.
    max_t
        Maximum resource of a trial.
    do_minimize
        Whether ``metric`` is to be minimised.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        config_space: Mapping[str, Any],
        metric: str,
        time_attr: str,
        max_t: float,
        do_minimize: bool = True,
    ) -> None:
        super().__init__(config_space, metric, time_attr, max_t, do_minimize)
        self._optimizer = optimizer
        #: Trials that are paused, by the key of their configuration.
        self._paused: dict[object, int] = {}
        self._trained_s: dict[int, float] = {}
        self._worst = -math.inf

    def suggest(self) -> TrialSuggestion | None:
        """The next job: of a trial that is paused, or of a new one."""
        job = self._optimizer.ask()
        if job is None:
            return None
        trial_id = self._paused.pop(job.key, None)
        if trial_id is not None:
            self._running[trial_id] = job
            return TrialSuggestion.resume_suggestion(trial_id)
        self._suggested.append(job)
        return TrialSuggestion.start_suggestion(dict(job.config))

    def on_trial_result(self, trial: Trial, result: dict[str, Any]) -> str:
        """Tells the optimiser the value at the level of the job, and pauses the trial there."""
        job = self._running.get(trial.trial_id)
        if job is None:
            return str(SchedulerDecision.STOP)
        level, value = float(result[self.time_attr]), float(result[self.metric])
        if math.isfinite(value) and level < min(job.level, self.max_t):
            return str(SchedulerDecision.CONTINUE)
        self._tell(trial.trial_id, value, result)
        if level >= self.max_t or not math.isfinite(value):
            return str(SchedulerDecision.STOP)
        self._paused[job.key] = trial.trial_id
        return str(SchedulerDecision.PAUSE)

    def on_trial_complete(self, trial: Trial, result: dict[str, Any]) -> None:
        """The curve has ended before the level of the job: its last value counts."""
        if trial.trial_id in self._running:
            self._tell(trial.trial_id, float(result[self.metric]), result)

    def on_trial_error(self, trial: Trial) -> None:
        """The trial has failed."""
        if trial.trial_id in self._running:
            self._tell(trial.trial_id, math.nan, {})

    def on_trial_remove(self, trial: Trial) -> None:
        """The trial was stopped or paused, of which the optimiser knows."""

    def metadata(self) -> dict[str, Any]:
        """What is stored with the results of an experiment."""
        return super().metadata() | {"scheduler_name": type(self._optimizer).__name__}

    def _tell(self, trial_id: int, value: float, result: Mapping[str, Any]) -> None:
        value = value if self.do_minimize else -value
        if math.isfinite(value):
            self._worst = max(self._worst, value)
        elif math.isfinite(self._worst):
            value = self._worst
        else:
            value = 1e9
        before = self._trained_s.get(trial_id, 0.0)
        self._trained_s[trial_id] = float(result.get("st_worker_time", before))
        self._optimizer.tell(self._running.pop(trial_id), value, self._trained_s[trial_id] - before)
