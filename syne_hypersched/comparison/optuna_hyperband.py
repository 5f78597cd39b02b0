"""Optuna's TPE sampler with its Hyperband pruner, through ask and tell, as a rival in comparisons."""

from __future__ import annotations

import math
import secrets
import warnings
from typing import TYPE_CHECKING, Any

from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import (
    Domain,
    FiniteRange,
    Ordinal,
)
from syne_tune.optimizer.scheduler import SchedulerDecision, TrialSuggestion

from syne_hypersched import checks
from syne_hypersched._extras import needs_extra
from syne_hypersched.comparison.asked import AskedScheduler, ordered_values, translated

if TYPE_CHECKING:
    import optuna


class OptunaHyperband(AskedScheduler["optuna.Trial"]):
    """Suggests with Optuna's ``TPESampler`` and stops trials when Optuna's ``HyperbandPruner`` prunes them.

    Trials run in parallel, for which Optuna recommends ``constant_liar``. All other options are Optuna's defaults. A
    report that is not a finite number prunes the trial. Optuna gets no value for a trial that has failed.

    Parameters
    ----------
    config_space
        Configuration space: names to domains of ``syne_tune.config_space`` or to constants.
    metric, time_attr
        Names in a report: the metric that is optimised, and the resource level.
    max_t
        Maximum resource of a trial.
    do_minimize
        Whether ``metric`` is to be minimised.
    min_resource, reduction_factor
        Options of the pruner.
    random_seed
        Seed of the sampler.

    Raises
    ------
    ModuleNotFoundError
        Optuna is not installed.
    TypeError, ValueError
        An argument is of the wrong type or out of range; the message names it.
    """

    def __init__(
        self,
        config_space: dict[str, Any],
        metric: str,
        time_attr: str,
        max_t: float,
        do_minimize: bool = True,
        min_resource: int = 1,
        reduction_factor: int = 3,
        random_seed: int | None = None,
    ) -> None:
        with needs_extra("the scheduler 'optuna'", "export"):
            import optuna
        checks.integer("min_resource", min_resource, at_least=1)
        checks.integer("reduction_factor", reduction_factor, at_least=2)
        random_seed = secrets.randbits(31) if random_seed is None else random_seed
        super().__init__(config_space, metric, time_attr, max_t, do_minimize, random_seed)
        domains = {name: domain for name, domain in config_space.items() if isinstance(domain, Domain)}
        self._distributions = {name: _distribution(name, domain) for name, domain in domains.items()}
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                sampler = optuna.samplers.TPESampler(seed=random_seed, constant_liar=True)
            pruner = optuna.pruners.HyperbandPruner(min_resource, math.ceil(max_t), reduction_factor)
            # The pruner derives the bracket of a trial from the name.
            self._study = optuna.create_study(
                study_name="comparison",
                sampler=sampler,
                pruner=pruner,
                direction="minimize" if do_minimize else "maximize",
            )
        finally:
            optuna.logging.set_verbosity(verbosity)

    def suggest(self) -> TrialSuggestion:
        """Returns the next configuration that Optuna suggests."""
        asked = self._study.ask(self._distributions)
        self._suggested.append(asked)
        config = {
            name: _value(domain, asked.params[name]) if isinstance(domain, Domain) else domain
            for name, domain in self.config_space.items()
        }
        return TrialSuggestion.start_suggestion(config)

    def on_trial_result(self, trial: Trial, result: dict[str, Any]) -> str:
        """Passes the report to Optuna. Stops the trial if Optuna prunes it or it has reached ``max_t``."""
        running, value, level = self._running.get(trial.trial_id), result.get(self.metric), result.get(self.time_attr)
        if running is None:
            return str(SchedulerDecision.STOP)
        if not checks.is_number(level) or not math.isfinite(level) or not checks.is_number(value):
            return str(SchedulerDecision.CONTINUE)
        from optuna.trial import TrialState

        if math.isfinite(value):
            running.report(float(value), int(level))
            if level >= self.max_t:
                self._tell(trial.trial_id, float(value))
            elif running.should_prune():
                self._tell(trial.trial_id, state=TrialState.PRUNED)
        else:
            self._tell(trial.trial_id, state=TrialState.PRUNED)
        return str(SchedulerDecision.CONTINUE if trial.trial_id in self._running else SchedulerDecision.STOP)

    def on_trial_complete(self, trial: Trial, result: dict[str, Any]) -> None:
        """Handles a script that has ended before ``max_t``."""
        if trial.trial_id in self._running:
            from optuna.trial import TrialState

            value = result.get(self.metric)
            if checks.is_number(value) and math.isfinite(value):
                self._tell(trial.trial_id, float(value))
            else:
                self._tell(trial.trial_id, state=TrialState.FAIL)

    def on_trial_error(self, trial: Trial) -> None:
        """Handles a failed trial."""
        if trial.trial_id in self._running:
            from optuna.trial import TrialState

            self._tell(trial.trial_id, state=TrialState.FAIL)

    def on_trial_remove(self, trial: Trial) -> None:
        """Does nothing: Optuna already knows that the trial was stopped."""

    def metadata(self) -> dict[str, Any]:
        """Data stored with the results of an experiment."""
        metadata = super().metadata()
        metadata["scheduler_kwargs"]["random_seed"] = self.random_seed
        return metadata

    def _tell(self, trial_id: int, value: float | None = None, state: optuna.trial.TrialState | None = None) -> None:
        self._study.tell(self._running.pop(trial_id), value, state)


def _distribution(name: str, domain: Domain) -> optuna.distributions.BaseDistribution:
    from optuna import distributions

    return translated(
        name,
        domain,
        "Optuna",
        lambda low, high, log: distributions.FloatDistribution(low, high, log=log),
        lambda low, high, log: distributions.IntDistribution(low, high, log=log),
        distributions.CategoricalDistribution,
    )


def _value(domain: Domain, value: Any) -> Any:
    return ordered_values(domain)[value] if isinstance(domain, (FiniteRange, Ordinal)) else value
