"""Ends a tuning early if the script reports neither the metric nor the resource level under the given names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from syne_tune import Tuner
from syne_tune.backend.trial_status import Trial
from syne_tune.tuner_callback import TunerCallback
from syne_tune.util import metric_name_mode

from syne_hypersched.contract import metric_names_of
from syne_hypersched.experiments import MissingEntryError

MOST_REPORTS = 20
"""So many reports without the metric end the tuning, if a trial has ended without it or has made so many reports."""


class NameGuard(TunerCallback):
    """Callback of the tuner that ends it if no report has the metric.

    A script may report the metric only now and then. So the tuning ends after 20 reports without the metric only if one
    trial has ended by itself without ever reporting it, or has made 20 reports without it.
    """

    def __init__(self) -> None:
        self._needed: tuple[tuple[str, str], ...] = ()
        self._is_known = False
        self._has_ended = False
        self._reports: Counter[int] = Counter()

    def on_tuning_start(self, tuner: Tuner) -> None:
        """Reads the names; called by the tuner."""
        scheduler = tuner.scheduler
        metric, _ = metric_name_mode(metric_names_of(scheduler), scheduler.metric_mode(), metric=0)
        self._needed = ((metric, "metric"), (getattr(scheduler, "time_attr", metric), "resource level"))
        before = tuner.last_seen_result_per_trial.values()  # of the earlier tuner, if this one continues its work
        self._is_known = any(self._has_all(result) for result in before)

    def on_trial_result(self, trial: Trial, status: str, result: dict[str, Any], decision: str) -> None:
        """Checks a report; called by the tuner.

        Raises
        ------
        MissingEntryError
            No report has the metric, or no report has the resource level.
        """
        self._is_known = self._is_known or self._has_all(result)
        if self._is_known:
            return
        self._reports[trial.trial_id] += 1
        self._judge(result)

    def on_trial_complete(self, trial: Trial, result: dict[str, Any]) -> None:
        """Handles a trial that has ended by itself; called by the tuner.

        Raises
        ------
        MissingEntryError
            No report has the metric, or no report has the resource level.
        """
        self._has_ended = True
        if not self._is_known and not self._has_all(result):
            self._judge(result)

    def _has_all(self, result: Mapping[str, Any]) -> bool:
        return all(name in result for name, _ in self._needed)

    def _judge(self, result: dict[str, Any]) -> None:
        is_enough = sum(self._reports.values()) >= MOST_REPORTS
        if is_enough and (self._has_ended or max(self._reports.values()) >= MOST_REPORTS):
            name, what = next(each for each in self._needed if each[0] not in result)
            raise MissingEntryError(name, what, result)
