"""Schedulers by name, with their searcher and options: ``pasha``, ``asha+kde``, ``hypersched:policy=top_job``."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_args

import numpy as np
from syne_tune.optimizer.scheduler import TrialScheduler
from syne_tune.optimizer.schedulers.asha import AsynchronousSuccessiveHalving
from syne_tune.optimizer.schedulers.searchers.searcher_factory import searchers as SEARCHERS
from syne_tune.optimizer.schedulers.searchers.single_objective_searcher import SingleObjectiveBaseSearcher
from syne_tune.optimizer.schedulers.single_objective_scheduler import SingleObjectiveScheduler

from syne_hypersched._direction import is_news
from syne_hypersched.allocation.scaling import ScalingName
from syne_hypersched.comparison.iepoch import IEpoch
from syne_hypersched.comparison.names import unknown_name
from syne_hypersched.comparison.optuna_hyperband import OptunaHyperband
from syne_hypersched.schedulers import ASHA, PASHA, Adaptive, HyperSched, PublishedRules
from syne_hypersched.schedulers.searchers import JOINT, RandomSearcher


@dataclass(frozen=True)
class Problem:
    """The facts about a benchmark that a scheduler needs."""

    config_space: Mapping[str, Any]
    metric: str
    do_minimize: bool
    time_attr: str
    max_t: float | int
    first_level: float | int = 1
    """The first level above 0. A scheduler may decide there for the first time if ``max_t`` is below 1."""


@dataclass(frozen=True)
class _Kind:
    """A named scheduler."""

    description: str
    make: Callable[..., TrialScheduler]
    fixed: Mapping[str, Any]
    """Arguments that the name implies."""
    knows_deadline: bool = False
    knows_devices: bool = False
    """Whether the scheduler knows beforehand which devices come and go."""
    searcher: str | None = "random_search"
    """Default of the part after ``+``; None: the name has no such part."""


_KINDS = {
    "hypersched": _Kind(
        "HyperSched: knows the deadline, resizes trials (+joint is the default of the class)",
        HyperSched,
        {},
        knows_deadline=True,
    ),
    "hypersched-published": _Kind(
        "HyperSched with the rules of its paper", HyperSched, {"strategy": "published"}, knows_deadline=True
    ),
    "hypersched-foreseeing": _Kind(
        "HyperSched that knows beforehand which devices come and go",
        HyperSched,
        {},
        knows_deadline=True,
        knows_devices=True,
    ),
    "asha": _Kind("ASHA by stopping", ASHA, {"type": "stopping"}),
    "asha-promotion": _Kind("ASHA by promotion, as in its paper", ASHA, {"type": "promotion"}),
    "pasha": _Kind("PASHA: promotion ASHA with a growing maximum resource", PASHA, {}),
    "i-epoch": _Kind(
        "i-Epoch: every configuration a few epochs, the best ones to the end", IEpoch, {}, knows_deadline=True
    ),
    "optuna": _Kind("Optuna: TPE with its Hyperband pruner", OptunaHyperband, {}, searcher=None),
    "syne-asha": _Kind("Syne Tune's own ASHA (by stopping)", AsynchronousSuccessiveHalving, {}),
    "random": _Kind("random search, every trial trained to the end", SingleObjectiveScheduler, {}, searcher=None),
    "tpe": _Kind(
        "Syne Tune's TPE (kde), trained to the end", SingleObjectiveScheduler, {"searcher": "kde"}, searcher=None
    ),
    "bore": _Kind(
        "Syne Tune's BORE, trained to the end", SingleObjectiveScheduler, {"searcher": "bore"}, searcher=None
    ),
    "cqr": _Kind("Syne Tune's CQR, trained to the end", SingleObjectiveScheduler, {"searcher": "cqr"}, searcher=None),
    "botorch": _Kind(
        "Syne Tune's BoTorch, trained to the end", SingleObjectiveScheduler, {"searcher": "botorch"}, searcher=None
    ),
    "rea": _Kind(
        "Syne Tune's regularised evolution, trained to the end",
        SingleObjectiveScheduler,
        {"searcher": "regularized_evolution"},
        searcher=None,
    ),
}

#: Arguments that the comparison sets and users therefore cannot set.
_RESERVED = (
    *("self", "config_space", "metric", "time_attr", "max_t", "do_minimize", "num_devices", "deadline_s", "clock"),
    *("type", "searcher", "searcher_kwargs", "points_to_evaluate", "random_seed", "max_resource_attr", "metrics"),
)
_PUBLISHED_OPTIONS = tuple(option.name for option in fields(PublishedRules))
_ADAPTIVE_OPTIONS = tuple(option.name for option in fields(Adaptive) if option.name != "devices_over_time")
_RANKING_OPTIONS = ("epsilon", "scale", "p", "threshold")


def searcher_names() -> tuple[str, ...]:
    """Names of the searchers."""
    return (*SEARCHERS, JOINT)


def scheduler_names() -> dict[str, str]:
    """The scheduler names, with descriptions."""
    return {name: kind.description for name, kind in _KINDS.items()}


@dataclass(frozen=True)
class SchedulerSpec:
    """A scheduler as the user writes it: ``name[+searcher][:option=value]...``."""

    name: str
    searcher: str | None = None
    options: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def parse(cls, text: str) -> SchedulerSpec:
        """Reads a name with its options.

        Raises
        ------
        ValueError
            The name, the searcher or an option is unknown; the message names the nearest one.
        """
        head, *options = text.split(":")
        name, _, searcher = head.partition("+")
        if name not in _KINDS:
            raise unknown_name("scheduler", name, _KINDS)
        kind = _KINDS[name]
        if searcher and kind.searcher is None:
            raise ValueError(f"{name!r} takes no searcher, but got {head!r}")
        if searcher and searcher not in searcher_names():
            raise unknown_name("searcher", searcher, searcher_names())
        return cls(name, searcher or kind.searcher, tuple(_parse_option(name, option) for option in options))

    @property
    def knows_deadline(self) -> bool:
        """Whether the scheduler uses the deadline, so that it must be run once for each deadline."""
        return _KINDS[self.name].knows_deadline


def make_scheduler(
    spec: SchedulerSpec,
    problem: Problem,
    seed: int,
    num_devices: int,
    deadline_s: float,
    points_to_evaluate: Sequence[Mapping[str, Any]] = (),
    scaling: Mapping[int, float] | Callable[[int], float] | None = None,
    devices_over_time: Sequence[tuple[float, int]] = (),
) -> TrialScheduler:
    """Creates a scheduler.

    Every scheduler with random search tries the ``points_to_evaluate`` first, and then draws from the configuration
    space. Both orders depend only on ``seed``, so with the same seed all these schedulers see the same configurations.
    A model-based searcher starts without data.

    Parameters
    ----------
    spec
        Name, searcher and options.
    problem
        Configuration space, metric and resource.
    seed
        Seed of all random choices.
    num_devices, deadline_s
        Given to a scheduler that uses them.
    points_to_evaluate
        Configurations to try first.
    scaling
        Speed-up by number of devices, for the option ``scaling=given``.
    devices_over_time
        Times (s) and the numbers of devices from these times on, for a scheduler that knows them beforehand.

    Raises
    ------
    TypeError, ValueError
        The scheduler rejects the value of an option.
    """
    is_news(problem.metric, problem.do_minimize)  # the command warns about the metric, not each of its processes
    kind = _KINDS[spec.name]
    arguments: dict[str, Any] = {
        "config_space": dict(problem.config_space),
        "metric": problem.metric,
        "do_minimize": problem.do_minimize,
        "random_seed": seed,
    }
    if spec.name == "syne-asha" and spec.searcher != "random_search":
        arguments["searcher"] = spec.searcher
    elif kind.make in (AsynchronousSuccessiveHalving, SingleObjectiveScheduler) and "searcher" not in kind.fixed:
        arguments["searcher"] = SeededRandomSearcher(problem.config_space, points_to_evaluate, seed)
    elif kind.make is SingleObjectiveScheduler:
        # Syne Tune does not pass the seed of a scheduler to this searcher.
        arguments["searcher_kwargs"] = {"random_seed": seed}
    elif kind.make is not OptunaHyperband:
        arguments["searcher"] = spec.searcher
        if spec.searcher == "random_search":
            arguments["points_to_evaluate"] = points_to_evaluate
        elif spec.searcher == JOINT and points_to_evaluate:
            arguments["searcher_kwargs"] = {"configs": points_to_evaluate}
    if kind.make is not SingleObjectiveScheduler:
        arguments |= {"time_attr": problem.time_attr, "max_t": problem.max_t}
        if problem.max_t < 1 and kind.make is not OptunaHyperband:
            # The default of 1 assumes that levels are epochs.
            arguments["epochs" if kind.make is IEpoch else "grace_period"] = problem.first_level
    if kind.knows_deadline:
        arguments |= {"num_devices": num_devices, "deadline_s": deadline_s}
    options = _option_arguments(spec.options, scaling)
    rules = {option: options.pop(option) for option in _PUBLISHED_OPTIONS if option in options}
    if rules:
        options["strategy"] = PublishedRules(**rules)
    adaptive = {option: options.pop(option) for option in _ADAPTIVE_OPTIONS if option in options}
    if kind.knows_devices:
        adaptive["devices_over_time"] = tuple(devices_over_time)
    if adaptive:
        options["strategy"] = Adaptive(**adaptive)
    return kind.make(**{**arguments, **kind.fixed, **options})


class SeededRandomSearcher(SingleObjectiveBaseSearcher):
    """Random search of this project, for schedulers of Syne Tune, whose own random search has no seed."""

    def __init__(self, config_space: Mapping[str, Any], points: Sequence[Mapping[str, Any]], seed: int) -> None:
        super().__init__(dict(config_space), random_seed=seed)
        # The seed is derived as in MultiFidelityScheduler, so that the configurations are equal.
        _, searcher_seed = np.random.SeedSequence(seed).generate_state(2) >> 1
        self._search = RandomSearcher(config_space, [dict(point) for point in points], int(searcher_seed))

    def suggest(self) -> dict[str, Any] | None:
        """The next configuration."""
        return self._search.suggest()

    def on_trial_result(
        self, trial_id: int, config: dict[str, Any], metric: float, resource_level: int | None = None
    ) -> None:
        """Learns nothing."""

    def on_trial_error(self, trial_id: int) -> None:
        """Learns nothing."""


def known_options(name: str) -> tuple[str, ...]:
    """Names of the options of a scheduler."""
    kind = _KINDS[name]
    names = tuple(p for p in inspect.signature(kind.make.__init__).parameters if p not in _RESERVED)
    more = {"pasha": _RANKING_OPTIONS, "hypersched-published": _PUBLISHED_OPTIONS}
    more |= dict.fromkeys(("hypersched", "hypersched-foreseeing"), _ADAPTIVE_OPTIONS)
    return names + more.get(name, ())


def _parse_option(name: str, text: str) -> tuple[str, Any]:
    option, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"an option of a scheduler must be written as option=value, but got {text!r} for {name!r}")
    choices = known_options(name)
    if option not in choices:
        raise unknown_name(f"option of {name!r}", option, choices)
    # None is written "None", as in Python, because "none" is the name of a policy.
    constants = {"true": True, "false": False}
    if value.lower() in constants:
        return option, constants[value.lower()]
    try:
        return option, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return option, value


def _option_arguments(
    options: Sequence[tuple[str, Any]], given: Mapping[int, float] | Callable[[int], float] | None
) -> dict[str, Any]:
    arguments = dict(options)
    if isinstance(arguments.get("scaling"), str):
        names = (*get_args(ScalingName),) if given is None else ("given", *get_args(ScalingName))
        if arguments["scaling"] not in names:
            raise unknown_name("scaling", arguments["scaling"], names)
        if arguments["scaling"] == "given":
            arguments["scaling"] = given
    ranking = {name: arguments.pop(name) for name in _RANKING_OPTIONS if name in arguments}
    return arguments | ({"ranking_kwargs": ranking} if ranking else {})
