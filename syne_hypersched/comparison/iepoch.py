"""i-Epoch: trains every configuration for a few epochs, then the best ones to the end.

Egele et al., "The Unreasonable Effectiveness of Early Discarding After One Epoch in Neural Network Hyperparameter
Optimization", Neurocomputing 2024. It is a simple baseline in comparisons, which any other scheduler should beat.
"""

from __future__ import annotations

import math
from statistics import median
from typing import Any

from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer.scheduler import SchedulerDecision, TrialSuggestion

from syne_hypersched.checks import plain_number
from syne_hypersched.schedulers.base import MultiFidelityScheduler
from syne_hypersched.schedulers.clock import TuningClock


class IEpoch(MultiFidelityScheduler):
    """Trains each configuration for a fixed number of epochs, and the best ones to the end.

    The paper trains the best configurations when a given number of configurations has been tried. Under a deadline, the
    number follows from the time. A free device resumes the best paused trial when the remaining time is what a median
    trial needs to be trained to the end, but not before half of the deadline.

    Parameters
    ----------
    config_space, metric, time_attr, max_t, do_minimize, searcher, searcher_kwargs, points_to_evaluate, random_seed
        As in :class:`~syne_hypersched.ASHA`.
    num_devices
        Not used.
    deadline_s
        Seconds after the start of the tuning.
    epochs
        Resource that each configuration gets before the selection.
    """

    def __init__(
        self,
        config_space: dict[str, Any],
        metric: str,
        time_attr: str,
        max_t: float,
        num_devices: int | None = None,
        deadline_s: float = math.inf,
        do_minimize: bool = True,
        epochs: float = 1,
        searcher: str | object = "random_search",
        searcher_kwargs: dict[str, Any] | None = None,
        points_to_evaluate: Any = None,
        random_seed: int | None = None,
    ) -> None:
        epochs = plain_number("epochs", epochs, "a finite number greater than 0", above=0)
        super().__init__(
            config_space,
            metric,
            time_attr,
            max_t,
            do_minimize,
            searcher=searcher,
            searcher_kwargs=searcher_kwargs,
            points_to_evaluate=points_to_evaluate,
            random_seed=random_seed,
            grace_period=min(1, epochs),
        )
        self.epochs = epochs
        self.deadline_s = deadline_s
        self._clock = TuningClock()
        self._began_s: dict[int, float] = {}
        #: Seconds per unit of the resource, for each trial that was paused.
        self._unit_s: list[float] = []
        self._paused: list[tuple[float, int]] = []
        self._selected: set[int] = set()

    def suggest(self) -> TrialSuggestion | None:
        """A new configuration, or near the end the best paused trial."""
        now_s = self._clock.now_s()
        # If no trial is paused yet, return a suggestion: a tuner does not ask again after it got none.
        if not self._is_selecting(now_s) or not self._paused:
            config = self._new_config()
            if config is not None:
                return TrialSuggestion.start_suggestion(config)
        if not self._paused:
            return None
        best = min(self._paused)
        self._paused.remove(best)
        self._selected.add(best[1])
        self._resume(best[1])
        return TrialSuggestion.resume_suggestion(best[1])

    def on_trial_add(self, trial: Trial) -> None:
        """Notes the time of the start."""
        super().on_trial_add(trial)
        self._began_s[trial.trial_id] = self._clock.now_s()

    def _on_report(self, trial: Trial, result: dict[str, Any], report: Any) -> str:
        """Pauses a trial after its first epochs, and stops it at the end."""
        if self._clock.observe(result):
            self._began_s = dict.fromkeys(self._began_s, 0.0)
        self._update_incumbent(trial, result, report)
        self._tell_searcher(trial, report)
        trial_id = trial.trial_id
        if report.resource >= self.max_t:
            self._checkpoints.end(trial_id)
            return str(SchedulerDecision.STOP)
        if trial_id in self._selected or report.resource < self.epochs:
            return str(SchedulerDecision.CONTINUE)
        self._unit_s.append((self._clock.now_s() - self._began_s[trial_id]) / report.resource)
        if report.value == math.inf:
            self._checkpoints.end(trial_id)
            return str(SchedulerDecision.STOP)
        self._paused.append((report.value, trial_id))
        self._checkpoints.pause(trial_id, *report[::-1])
        return str(SchedulerDecision.PAUSE)

    def on_trial_error(self, trial: Trial) -> None:
        """Forgets a failed trial, so that it is not resumed."""
        super().on_trial_error(trial)
        self._paused = [entry for entry in self._paused if entry[1] != trial.trial_id]

    def _is_selecting(self, now_s: float) -> bool:
        if not self._unit_s:
            return False
        rest_s = (self.max_t - self.epochs) * median(self._unit_s)
        return self.deadline_s - now_s <= min(rest_s, self.deadline_s / 2)
