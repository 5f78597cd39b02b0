"""What all schedulers here have in common: arguments, searcher, values to be minimised, incumbent, metadata."""

from __future__ import annotations

import inspect
import logging
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from syne_tune.backend.trial_status import Status, Trial
from syne_tune.config_space import Domain, Float, config_space_to_json_dict
from syne_tune.optimizer.scheduler import SchedulerDecision, TrialScheduler
from syne_tune.optimizer.schedulers.remove_checkpoints import RemoveCheckpointsSchedulerMixin
from syne_tune.tuning_status import TuningStatus
from syne_tune.util import dump_json_with_numpy

from syne_hypersched._direction import doubt_of_direction, is_news
from syne_hypersched._first_use import check_is_unused
from syne_hypersched.checks import integer, plain_number, truth
from syne_hypersched.contract import EndingTrial, is_followed, is_measured, is_publishing
from syne_hypersched.schedulers._arguments import (
    Config,
    checked_points,
    configuration_space,
    entry_name,
)
from syne_hypersched.schedulers._checkpoints import CheckpointRemoval, NeededCheckpoints
from syne_hypersched.schedulers._consistency import Workers
from syne_hypersched.schedulers._reports import ReportReader, Usable
from syne_hypersched.schedulers.searchers import RandomSearcher, make_searcher

logger = logging.getLogger(__name__)

#: What has become of a trial that the scheduler is told of as failed, where its backend says its status.
_ENDS: dict[Any, str] = {
    Status.failed: "has failed",
    Status.stopped: "was stopped, not by the scheduler: because the tuning ends, or from outside",
}


@dataclass(frozen=True)
class IncumbentTrial:
    """The trial with the best metric so far."""

    trial_id: int
    """Id of the trial."""
    value: float
    """Its best value, to be minimised: a metric to be maximised is negated."""
    resource: float
    """The resource level of the report with this value."""
    result: dict[str, Any]
    """That report."""


class MultiFidelityScheduler(TrialScheduler, RemoveCheckpointsSchedulerMixin):
    """Base class of schedulers that compare trials at resource levels.

    A constructor argument that a subclass keeps as an attribute of the same name appears in :meth:`metadata`.

    Parameters
    ----------
    config_space
        Configuration space: names to domains of ``syne_tune.config_space`` or to constants.
    metric
        Entry of a report that is optimised.
    time_attr
        Entry of a report that is the resource level, for example the number of epochs trained.
    max_t
        Maximum resource of a trial.
    do_minimize
        Whether ``metric`` is to be minimised.
    searcher
        ``"random_search"``, ``"joint"`` (a model over configuration and resource, see ``docs/searching.md``), another
        name of a Syne Tune searcher (``"kde"``, ``"bore"``, ``"cqr"``, ``"botorch"``,
        ``"regularized_evolution"``), which then learns from the last value of every trial, or a searcher object.
    searcher_kwargs
        More arguments for the class that ``searcher`` names.
    points_to_evaluate
        Configurations to try first, in this order, each with a value for every domain of ``config_space``.
    random_seed
        Seed of everything random, non-negative. By default it is drawn from the operating system; the metadata has it.
    grace_period
        Level of the lowest rung, at most ``max_t``.
    reduction_factor
        Ratio of neighbouring rung levels; about one in ``reduction_factor`` trials gets beyond a rung. Greater than 1.
    max_paused
        Most paused trials that may be resumed at a time, at least 1; by default any number.

    Attributes
    ----------
    incumbent
        The trial with the best metric so far, None before the first finite one.
    random_state
        The scheduler's own random generator; the searcher has another one.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; the message names it.
    """

    #: Devices that the scheduler was told of; None where it need not know.
    num_devices: int | None = None

    def __init__(
        self,
        config_space: dict[str, Any],
        metric: str,
        time_attr: str,
        max_t: float,
        do_minimize: bool = True,
        searcher: str | object = "random_search",
        searcher_kwargs: dict[str, Any] | None = None,
        points_to_evaluate: Sequence[Config] | None = None,
        random_seed: int | None = None,
        grace_period: float = 1,
        reduction_factor: float = 3,
        max_paused: int | None = None,
    ) -> None:
        config_space = configuration_space(config_space)
        do_minimize = truth("do_minimize", do_minimize)
        max_t = plain_number("max_t", max_t, "a finite number greater than 0", above=0)
        grace_period = plain_number("grace_period", grace_period, "a finite number greater than 0", above=0)
        if grace_period > max_t:
            raise ValueError(f"grace_period must be at most max_t = {max_t!r}, but got {grace_period!r}")
        rule = "a finite number greater than 1"
        reduction_factor = plain_number("reduction_factor", reduction_factor, rule, above=1)
        if random_seed is None:
            random_seed = secrets.randbits(31)
        random_seed = integer("random_seed", random_seed)
        if random_seed < 0:
            raise ValueError(f"random_seed must not be negative, but got {random_seed!r}")
        super().__init__(random_seed=random_seed)
        self.config_space = config_space
        self.metric = entry_name("metric", metric)
        self.time_attr = entry_name("time_attr", time_attr)
        if metric == time_attr:
            raise ValueError(f"metric must be another entry of the reports than time_attr, but both are {metric!r}")
        self.max_t = max_t
        self.do_minimize = do_minimize
        if (doubt := doubt_of_direction(self.metric, do_minimize)) and is_news(self.metric, do_minimize):
            logger.warning("%s. If that is so, give do_minimize=%s.", doubt, not do_minimize)
        self.searcher = self._searcher_or_default(searcher)
        if searcher_kwargs is not None and not isinstance(searcher_kwargs, Mapping):
            raise TypeError(f"searcher_kwargs must be a dictionary or None, but got {searcher_kwargs!r}")
        self.searcher_kwargs = None if searcher_kwargs is None else dict(searcher_kwargs)
        self.points_to_evaluate = (
            None if points_to_evaluate is None else checked_points(points_to_evaluate, config_space)
        )
        self.grace_period = grace_period
        self.reduction_factor = reduction_factor
        self.incumbent: IncumbentTrial | None = None
        self.max_paused = None if max_paused is None else integer("max_paused", max_paused, at_least=1)
        self._checkpoints = NeededCheckpoints(self.max_paused)
        self._workers = Workers()
        #: Whether anything is added to reports.
        self._tells = True
        self._starts = True
        self._added: set[int] = set()
        self._reports = ReportReader(self.metric, self.time_attr, self.do_minimize, self.max_t, self.grace_period)
        # Syne Tune's searchers take seeds of 31 bits.
        own_seed, searcher_seed = np.random.SeedSequence(self.random_seed).generate_state(2) >> 1
        self.random_state = np.random.RandomState(own_seed)
        self._searcher = make_searcher(
            self.searcher,
            self.config_space,
            self.points_to_evaluate,
            int(searcher_seed),
            self.searcher_kwargs,
            self.max_t,
        )

    def _searcher_or_default(self, searcher: object) -> object:
        """The searcher to use for this constructor argument; :attr:`config_space` has been checked.

        A subclass whose default depends on the space overrides it.
        """
        return searcher

    def on_trial_add(self, trial: Trial) -> None:
        """Tells an elastic backend which entry of the reports is the resource level.

        Raises
        ------
        ValueError
            There is a trial of this number already: the scheduler has been used in another tuning.
        """
        if trial.trial_id in self._added:
            check_is_unused(self)
        self._added.add(trial.trial_id)
        self._name_entries(trial)
        self._workers.add(trial)

    @property
    def has_trials(self) -> bool:
        """Whether trials were added: a scheduler is for one tuning."""
        return bool(self._added)

    def on_trial_result(self, trial: Trial, result: dict[str, Any]) -> str:
        """Decides on a report, and adds the scheduler's entries to it.

        A report without the metric or ``time_attr``, or with one that is no number, is left out: the trial goes on,
        nothing is recorded, and a warning says so once. An entry of the two that is no number is made NaN.

        Returns
        -------
        str
            One of Syne Tune's decisions.
        """
        report = self._reports.read(trial.trial_id, result)
        decision = str(SchedulerDecision.CONTINUE) if report is None else self._on_report(trial, result, report)
        if decision == SchedulerDecision.STOP and isinstance(trial, EndingTrial):
            trial.end_at(result)
        self._add_to(result)
        return decision

    def _on_report(self, trial: Trial, result: dict[str, Any], report: Usable) -> str:
        """Decides on a report that can be used."""
        raise NotImplementedError(f"{type(self).__name__} must define _on_report()")

    def _add_to(self, result: dict[str, Any]) -> None:
        """Adds the scheduler's entries to a report after any decision; by default none."""

    def on_trial_error(self, trial: Trial) -> None:
        """Tells the searcher that a trial has failed, or was stopped from outside."""
        what = _ENDS.get(getattr(trial, "status", None), "has failed or was stopped from outside")
        logger.warning("trial %d %s", trial.trial_id, what)
        self._reports.end(trial.trial_id)
        self._checkpoints.end(trial.trial_id)
        self._searcher.on_trial_error(trial.trial_id)

    def on_trial_complete(self, trial: Trial, result: dict[str, Any]) -> None:
        """Tells the searcher that a trial has ended; its last result has been told before."""
        self._reports.complete(trial.trial_id)
        self._searcher.on_trial_end(trial.trial_id)

    def on_trial_remove(self, trial: Trial) -> None:
        """Tells the searcher that a trial has ended because it was paused or stopped."""
        self._reports.end(trial.trial_id)
        self._searcher.on_trial_end(trial.trial_id)

    def trials_checkpoints_can_be_removed(self, since: int = 0) -> list[int]:
        """Trials that will never run again, see :class:`~syne_hypersched.contract.RemovingScheduler`.

        These are the trials that were stopped, have completed or failed, and the paused trials that will certainly
        never be resumed. No scheduler of this package starts a trial from another one's checkpoint.

        Parameters
        ----------
        since
            Number of trials to skip from the beginning, at least 0.

        Raises
        ------
        TypeError, ValueError
            ``since`` is not an integer of at least 0.
        """
        return self._checkpoints.over(integer("since", since, at_least=0))

    def callback_for_checkpoint_removal(self, stop_criterion: Callable[[TuningStatus], bool]) -> CheckpointRemoval:
        """The callback that Syne Tune's tuner requests if its backend has ``delete_checkpoints=True``.

        Parameters
        ----------
        stop_criterion
            The tuner's stop criterion, which is not used: only superfluous checkpoints are removed.
        """
        return CheckpointRemoval(self)

    def metric_names(self) -> list[str]:
        """The metric, as a list of one."""
        return [self.metric]

    def metric_mode(self) -> str:
        """``"min"`` or ``"max"``."""
        return "min" if self.do_minimize else "max"

    def metadata(self) -> dict[str, Any]:
        """What is stored with the results of an experiment, as values of JSON.

        Returns
        -------
        dict
            ``scheduler_name``, ``scheduler_kwargs`` (the arguments of the constructor, an object by the name of its
            class), ``config_space`` (as a string of JSON, like Syne Tune's), ``metric``, ``metric_names`` and
            ``metric_mode``.
        """
        arguments = inspect.signature(type(self).__init__).parameters
        return {
            "scheduler_name": type(self).__name__,
            "scheduler_kwargs": {
                name: as_json(getattr(self, name))
                for name in arguments
                if name not in ("self", "config_space") and hasattr(self, name)
            }
            | {"random_seed": self.random_seed},
            "config_space": dump_json_with_numpy(config_space_to_json_dict(self.config_space)),
            "metric": self.metric,
            "metric_names": self.metric_names(),
            "metric_mode": self.metric_mode(),
        }

    def _name_entries(self, trial: Trial) -> None:
        """Tells an elastic trial which entries of its reports are the resource level and the metric."""
        if is_followed(trial):
            trial.follow(self.time_attr)
        if is_measured(trial):
            trial.measure(self.metric, self.do_minimize)

    def _resume(self, trial_id: int) -> None:
        """A paused trial is resumed."""
        self._checkpoints.resume(trial_id)
        self._reports.resume(trial_id)

    def stop_starting(self) -> None:
        """From now on nothing new starts, as if the searcher had no further configuration."""
        self._starts = False

    def _new_config(self) -> Config | None:
        """The next configuration of the searcher, complete with the constants; None if it has no more."""
        config = self._searcher.suggest() if self._starts else None
        if config is None:
            self._workers.give_up()
        return None if config is None else _completed(config, self.config_space)

    def _tell_searcher(self, trial: Trial, report: Usable) -> None:
        """Tells the searcher the value of a report, or that it is not finite."""
        if not self._workers.are_known:
            self._workers.report(self.num_devices)
            # Random search learns nothing, and is what most simulations use.
            self._tells = type(self._searcher) is not RandomSearcher
        value, resource = report
        if value < math.inf:
            self._searcher.on_trial_result(trial.trial_id, trial.config, value, resource)
        else:
            self._searcher.on_trial_diverged(trial.trial_id, trial.config)

    def _update_incumbent(self, trial: Trial, result: Mapping[str, Any], report: Usable) -> bool:
        """Makes the trial the incumbent if this report is the best one so far, and publishes it on an elastic backend.

        Returns
        -------
        bool
            Whether the incumbent has changed.
        """
        incumbent = self.incumbent
        if report[0] >= (math.inf if incumbent is None else incumbent.value):
            return False
        self.incumbent = IncumbentTrial(trial.trial_id, report.value, report.resource, dict(result))
        if is_publishing(trial):
            trial.publish(result)
        return True


def _completed(config: Mapping[str, Any], config_space: Mapping[str, Any]) -> Config:
    """As Syne Tune's ``postprocess_config``, in half the time: values of the types of their domains, and constants."""
    completed: Config = {}
    for name, domain in config_space.items():
        value = config.get(name, domain)
        is_cast = value is domain or (type(value) is float and type(domain) is Float) or not isinstance(domain, Domain)
        completed[name] = value if is_cast else domain.cast(value)
    return completed


_VALUES_OF_JSON = (float, int, str, bool, type(None))
_PLAIN, _KEYS = frozenset(_VALUES_OF_JSON), frozenset([str])


def as_json(value: Any) -> Any:
    """A value as one of JSON: an object by the name of its class, a function by its own."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) is dict and _KEYS.issuperset(map(type, value)) and _PLAIN.issuperset(map(type, value.values())):
        return value.copy()  # as below
    if type(value) in _VALUES_OF_JSON or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): item if type(item) in _VALUES_OF_JSON else as_json(item) for key, item in value.items()}
    if type(value) is list and _has_plain_dictionaries(value):
        return list(map(dict.copy, value))  # there may be thousands of points to evaluate
    if isinstance(value, (list, tuple, np.ndarray)):
        return [as_json(item) for item in value]
    return getattr(value, "__qualname__", type(value).__qualname__)


def _has_plain_dictionaries(values: list[Any]) -> bool:
    return (
        {dict}.issuperset(map(type, values))
        and _KEYS.issuperset(map(type, chain.from_iterable(values)))
        and _PLAIN.issuperset(map(type, chain.from_iterable(map(dict.values, values))))
    )
