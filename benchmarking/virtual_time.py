"""Runs a scheduler on learning curves from a table, in virtual time.

Each epoch of a configuration takes the seconds that the table says; starting, pausing and resuming take none.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer.scheduler import SchedulerDecision, TrialScheduler


class Table(Protocol):
    """Learning curves of configurations."""

    def metric(self, config: dict[str, Any], epoch: int) -> float:
        """The metric of a configuration after an epoch, counted from 1."""
        ...

    def epoch_s(self, config: dict[str, Any]) -> float:
        """Seconds that an epoch of a configuration takes."""
        ...


@dataclass
class Run:
    """What has happened in a run."""

    elapsed_s: float = 0.0
    configs: list[dict[str, Any]] = field(default_factory=list)
    """The configuration of each trial."""
    epochs: list[int] = field(default_factory=list)
    """How many epochs each trial has trained."""
    reports: list[tuple[float, int, dict[str, Any]]] = field(default_factory=list)
    """Second, trial and result of each report, with what the scheduler has added."""


def run(
    scheduler: TrialScheduler,
    table: Table,
    metric: str,
    time_attr: str,
    num_workers: int,
    max_trials: int,
    on_report: Callable[[Run], None] = lambda _: None,
) -> Run:
    """Runs a scheduler until it would start one more than ``max_trials`` trials, or has nothing left to run.

    Parameters
    ----------
    scheduler
        The scheduler.
    table
        The learning curves.
    metric, time_attr
        Entries of a report that the scheduler reads: the metric and the number of epochs.
    num_workers
        Number of trials that run at the same time.
    max_trials
        Number of trials that may be started.
    on_report
        Called after each report.

    Returns
    -------
    Run
        All trials and reports, and the seconds until the end.
    """
    outcome = Run()
    trials: list[Trial] = []
    # The second number makes simultaneous reports arrive in the order in which their epochs were begun.
    events: list[tuple[float, int, int]] = []
    num_begun = 0
    num_idle = num_workers
    while True:
        while num_idle:
            suggestion = scheduler.suggest()
            if suggestion is None:
                break
            if suggestion.spawn_new_trial_id:
                if len(trials) == max_trials:
                    return outcome
                trial = Trial(len(trials), dict(suggestion.config), datetime.fromtimestamp(outcome.elapsed_s))
                trials.append(trial)
                outcome.configs.append(trial.config)
                outcome.epochs.append(0)
                scheduler.on_trial_add(trial=trial)
            else:
                trial = trials[suggestion.checkpoint_trial_id]
            heapq.heappush(events, (outcome.elapsed_s + table.epoch_s(trial.config), num_begun, trial.trial_id))
            num_begun += 1
            num_idle -= 1
        if not events:
            return outcome
        outcome.elapsed_s, _, trial_id = heapq.heappop(events)
        trial = trials[trial_id]
        outcome.epochs[trial_id] += 1
        result = {metric: table.metric(trial.config, outcome.epochs[trial_id]), time_attr: outcome.epochs[trial_id]}
        decision = scheduler.on_trial_result(trial=trial, result=result)
        outcome.reports.append((outcome.elapsed_s, trial_id, result))
        on_report(outcome)
        if decision == SchedulerDecision.CONTINUE:
            heapq.heappush(events, (outcome.elapsed_s + table.epoch_s(trial.config), num_begun, trial_id))
            num_begun += 1
        else:
            scheduler.on_trial_remove(trial=trial)
            num_idle += 1
