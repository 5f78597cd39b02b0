"""The loop of a tuner in virtual time."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

from syne_tune.backend.trial_status import Status
from syne_tune.optimizer.scheduler import SchedulerDecision, TrialScheduler

from syne_hypersched.backends.shared.elastic import ElasticTrial
from syne_hypersched.backends.virtual import (
    VirtualFleet,
    virtual_moment,
)
from syne_hypersched.simulation._results import Decided

CONTINUE, PAUSE = SchedulerDecision.CONTINUE, SchedulerDecision.PAUSE

logger = logging.getLogger(__name__)

#: With more trials than this, a simulation without a limit may never end.
_MANY = 5_000

OnResult = Callable[[ElasticTrial, dict[str, Any], str], None]
"""Called after each decision with the trial, the report and the decision."""


class SimulatedTuner:
    """The loop of :class:`syne_tune.Tuner`: reads results, tells the scheduler, and starts the suggested trials."""

    def __init__(
        self,
        scheduler: TrialScheduler,
        fleet: VirtualFleet,
        n_workers: int,
        num_devices_per_trial: int,
        max_num_trials: int | None,
        max_num_results: int | None,
        on_result: OnResult | None,
    ) -> None:
        self.results: list[Decided] = []
        self._trials: list[ElasticTrial] = []
        self._scheduler = scheduler
        self._fleet = fleet
        self._n_workers = n_workers
        self._num_devices_per_trial = num_devices_per_trial
        self._max_num_trials = max_num_trials
        self._max_num_results = max_num_results
        self._on_result = on_result
        #: Running trials, and the last result of each trial.
        self._running: dict[int, None] = {}
        self._last: dict[int, dict[str, Any]] = {}
        self._exhausted = False
        self._is_unlimited = (
            max_num_trials is None and max_num_results is None and fleet.situation.deadline_s == math.inf
        )

    @property
    def num_trials(self) -> int:
        """Number of trials that were started."""
        return len(self._trials)

    def run(self) -> None:
        """Runs until there is nothing left to do, or a limit is reached."""
        fleet, results, running = self._fleet, self.results, self._running
        poll_all, trials, last, on_result = fleet.poll_all, self._trials, self._last, self._on_result
        most, n_workers, goes_on = self._max_num_results, self._n_workers, True
        while goes_on:
            reports, ended = poll_all()
            for reporter, result in reports:
                trial_id, status = reporter.trial_id, reporter.status
                trial = trials[trial_id]
                last[trial_id] = result
                decision = self._scheduler.on_trial_result(trial=trial, result=result)
                results.append((trial_id, trial.config, status, result, decision))
                if on_result is not None:
                    on_result(trial, result, decision)
                if decision != CONTINUE:
                    self._halt(trial, status, decision)
                if len(results) == most:
                    return
            for trial_id in ended:
                self._end(trial_id)
            goes_on = (len(running) >= n_workers or self._start_trials()) and not fleet.closed

    def _halt(self, trial: ElasticTrial, status: str, decision: str) -> None:
        """Pauses or stops a trial. A completed trial is only removed."""
        if decision == PAUSE:
            self._fleet.halt(trial.trial_id, Status.paused)
        elif status != Status.completed:
            self._fleet.halt(trial.trial_id, Status.stopped)
        del self._running[trial.trial_id]
        self._scheduler.on_trial_remove(trial=trial)

    def _end(self, trial_id: int) -> None:
        """Handles a trial that ended by itself. Ignored if the scheduler stopped or paused it at its last report."""
        if trial_id not in self._running:
            return
        trial = self._trials[trial_id]
        del self._running[trial_id]
        if self._fleet.status(trial_id) != Status.completed:
            self._scheduler.on_trial_error(trial)
        else:
            self._scheduler.on_trial_complete(trial, self._last.get(trial_id, {}))

    def _start_trials(self) -> bool:
        """Starts the suggested trials. Returns whether there is anything left to wait for."""
        while not self._exhausted and len(self._running) < self._n_workers:
            suggestion = self._scheduler.suggest()
            if suggestion is None:
                self._exhausted = True
            elif not suggestion.spawn_new_trial_id:
                self._resume(suggestion.checkpoint_trial_id, suggestion.config)
            elif len(self._trials) == self._max_num_trials:
                return False
            else:
                self._start(dict(suggestion.config), suggestion.checkpoint_trial_id)
        return bool(self._running)

    def _start(self, config: dict[str, Any], checkpoint_of: int | None) -> None:
        trial_id = len(self._trials)
        if trial_id == _MANY and self._is_unlimited:
            logger.warning(
                "%d trials have been simulated, without deadline_s, max_num_trials or max_num_results. The simulation "
                "goes on until the searcher has no further configuration. With numbers in the space, it may never end",
                _MANY,
            )
        self._fleet.start(trial_id, config, self._num_devices_per_trial, "start", checkpoint_of)
        trial = ElasticTrial(
            trial_id, config, virtual_moment(self._fleet.time_s), [], Status.in_progress, backend=self._fleet
        )
        self._trials.append(trial)
        self._running[trial_id] = None
        self._scheduler.on_trial_add(trial=trial)

    def _resume(self, trial_id: int, config: dict[str, Any] | None) -> None:
        trial = self._trials[trial_id]
        if config is not None:
            trial.config = config
        self._fleet.start(trial_id, trial.config, self._num_devices_per_trial, "resume")
        self._running[trial_id] = None
