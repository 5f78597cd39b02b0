"""The two strategies of HyperSched as a user chooses them: by name, or with options of their own."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeAlias

from syne_hypersched import checks
from syne_hypersched.allocation.forecast import forecast
from syne_hypersched.allocation.stretch import LONGEST_SHARE, MOST_DEVICES
from syne_hypersched.stability import deprecation

StrategyName: TypeAlias = Literal["adaptive", "published"]
"""Names of the strategies, shorthands for their default options."""


@dataclass(frozen=True)
class Adaptive:
    """Options of HyperSched's adaptive strategy: explore on one device each, then a last stretch for the best trials.

    Example::

        HyperSched(space, "loss", "epoch", max_t=81, num_devices=32, deadline_s=3600, strategy=Adaptive(max_devices=16))

    The defaults were chosen on tables of real learning curves with 8 devices; ``strategy="adaptive"`` stands for them.
    See ``docs/adaptive.md``.

    Parameters
    ----------
    max_devices
        Most devices for one trial in the last stretch, at least 1. Fewer are used where the scaling says that more
        would be used by less than half.
    longest_stretch
        Longest share of the deadline that the last stretch may take, above 0 and at most 1. It is shorter where a full
        run on the largest number of devices takes less.
    devices_over_time
        What is known beforehand of devices that come and go, as pairs of a time (s) and the number of devices that are
        there from then on. Then the last stretch is planned for their mean number until the deadline, and else for the
        number that is there now. By default nothing is known.
    budget_device_hours
        Device-hours that the search may spend before the deadline: a device costs as long as a trial holds it. By
        default as many as there are.
    min_gain
        Least improvement of the metric that a device-hour must bring. Where the last third of what was spent has
        brought less, the last stretch begins at once, and the search ends after it. By default it goes on until the
        deadline.

    Raises
    ------
    TypeError, ValueError
        An option is of the wrong type or out of range; the message names it.
    """

    name: ClassVar[StrategyName] = "adaptive"

    max_devices: int = MOST_DEVICES
    longest_stretch: float = LONGEST_SHARE
    devices_over_time: tuple[tuple[float, int], ...] = ()
    budget_device_hours: float | None = None
    min_gain: float | None = None

    def __post_init__(self) -> None:
        _set(self, "max_devices", checks.positive_integer("max_devices", self.max_devices))
        rule = "a share of the deadline, above 0 and at most 1"
        _set(self, "longest_stretch", checks.number("longest_stretch", self.longest_stretch, rule, above=0, at_most=1))
        _set(self, "devices_over_time", forecast(self.devices_over_time))
        if self.budget_device_hours is not None:
            rule = "a number of device-hours above 0, or None"
            budget = checks.number("budget_device_hours", self.budget_device_hours, rule, above=0.0)
            _set(self, "budget_device_hours", budget)
        if self.min_gain is not None:
            rule = "an improvement for a device-hour of at least 0, or None"
            _set(self, "min_gain", checks.number("min_gain", self.min_gain, rule, at_least=0.0))


@dataclass(frozen=True)
class PublishedRules:
    """Options of HyperSched's rules as they were published (Liaw et al., SoCC 2019).

    Example::

        HyperSched(
            space, "loss", "epoch", max_t=81, num_devices=8, deadline_s=3600,
            strategy=PublishedRules(allocation_grid=4, speculation=False),
        )

    Most options are arms of the authors' ablation study. ``strategy="published"`` stands for the defaults.

    Parameters
    ----------
    allocation_grid
        A trial holds more devices than this only in multiples of it, at least 1. None allows every number.
    recharge_period
        A trial grows only after more reports than this since it was last started, resumed or resized, at least 0. A
        larger number means fewer launches and later resizes.
    use_pausing
        Whether a weak trial is paused, so that it can be resumed while admission is open. False stops it.
    speculation
        Whether a trial is compared with the rungs that it has passed at *every* report (retrospective rule). False
        compares it only when it reaches a rung.
    job_limit
        Whether admission closes as soon as too little time is left for a new trial to win. False closes it at the
        deadline.
    ignore_overhead
        Whether the cost of a launch is taken as 0.
    fixed_exploration
        Share of the deadline, from 0 to 1, after which admission closes, in place of the rule of ``job_limit``, which
        must then stay True.

    Raises
    ------
    TypeError, ValueError
        An option is of the wrong type or out of range; the message names it.
    """

    name: ClassVar[StrategyName] = "published"

    allocation_grid: int | None = None
    recharge_period: int = 5
    use_pausing: bool = True
    speculation: bool = True
    job_limit: bool = True
    ignore_overhead: bool = False
    fixed_exploration: float | None = None

    def __post_init__(self) -> None:
        if self.allocation_grid is not None:
            _set(self, "allocation_grid", checks.positive_integer("allocation_grid", self.allocation_grid))
        _set(self, "recharge_period", checks.integer("recharge_period", self.recharge_period, at_least=0))
        for flag in ("use_pausing", "speculation", "job_limit", "ignore_overhead"):
            _set(self, flag, checks.truth(flag, getattr(self, flag)))
        if self.fixed_exploration is None:
            return
        rule = "a share of the deadline from 0 to 1 or None"
        share = checks.number("fixed_exploration", self.fixed_exploration, rule, at_least=0, at_most=1)
        _set(self, "fixed_exploration", share)
        if not self.job_limit:
            raise ValueError(f"fixed_exploration must be None with job_limit=False, but got {self.fixed_exploration!r}")


Options: TypeAlias = Adaptive | PublishedRules

_STRATEGIES: Mapping[str, type[Options]] = MappingProxyType({each.name: each for each in (Adaptive, PublishedRules)})


def options_of(strategy: object) -> Options:
    """The options that the argument ``strategy`` stands for: itself, or the defaults of a strategy by name.

    Raises
    ------
    TypeError, ValueError
        It is neither; the message lists what it may be.
    """
    if isinstance(strategy, (Adaptive, PublishedRules)):
        return strategy
    named = _STRATEGIES.get(strategy) if isinstance(strategy, str) else None
    if named is None:
        names = ", ".join(f"{name!r} or {each.__name__}(...)" for name, each in _STRATEGIES.items())
        error = ValueError if isinstance(strategy, str) else TypeError
        raise error(f"strategy must be one of {names}, but got {strategy!r}")
    return named()


def described(options: Options) -> str | dict[str, Any]:
    """Options as values of JSON: the name alone where they are the defaults, else with all options."""
    return options.name if options == type(options)() else {"name": options.name, **asdict(options)}


def check_policy_of(options: Options, policy: object, choices: tuple[str, ...]) -> None:
    """Raises an error that names ``policy`` unless it is one of the choices of this strategy.

    Raises
    ------
    ValueError
        It is none of them.
    """
    if not checks.is_one_of(policy, choices):
        listed = ", ".join(map(repr, choices))
        raise ValueError(f'policy must be one of {listed} with strategy="{options.name}", but got {policy!r}')


FORMER_POSITIONAL = (
    *("do_minimize", "scaling", "clock", "policy", "allocation_grid", "recharge_period", "use_pausing"),
    *("grace_period", "reduction_factor", "speculation", "job_limit", "ignore_overhead", "assume_linear"),
    *("fixed_exploration", "strategy", "max_paused", "searcher", "searcher_kwargs", "points_to_evaluate"),
    "random_seed",
)
"""Arguments of HyperSched after ``deadline_s``, in the order in which they were positional in version 0.1.0."""

MOVED = {each.name: f"strategy=PublishedRules({each.name}=...)" for each in fields(PublishedRules)} | {
    "assume_linear": 'scaling="linear"'
}
"""Arguments of HyperSched in version 0.1.0 that have another place now, and how to write them."""


def translated(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments of version 0.1.0 as those of the present version.

    Raises
    ------
    TypeError, ValueError
        An argument belongs to the other strategy, is given twice, or contradicts another one.
    """
    kwargs = dict(kwargs)
    if checks.truth("assume_linear", kwargs.pop("assume_linear", False)):
        if kwargs.get("scaling") is not None:
            raise ValueError(f"scaling must be None with assume_linear=True, but got {kwargs['scaling']!r}")
        kwargs["scaling"] = "linear"
    moved = {name: kwargs.pop(name) for name in list(kwargs) if name in MOVED}
    if not moved:
        return kwargs
    strategy = kwargs.get("strategy", Adaptive.name)
    given = PublishedRules(**moved)
    if strategy == PublishedRules.name:
        kwargs["strategy"] = given
    elif options_of(strategy) != strategy and given == PublishedRules():
        pass  # Defaults that the adaptive strategy has always let pass.
    else:
        name = next((each for each in moved if moved[each] != getattr(PublishedRules(), each)), next(iter(moved)))
        spelling = f"strategy=PublishedRules({name}={moved[name]!r})"
        if isinstance(strategy, PublishedRules):
            raise ValueError(
                f"{name} must be an option of the strategy: give it as {spelling}, beside the other options of "
                f"{strategy!r}"
            )
        raise ValueError(
            f"{name} must be left out with strategy={strategy!r}, or be given as {spelling}, but got {moved[name]!r}"
        )
    return kwargs


class FormerAttribute:
    """An argument of version 0.1.0, which was an attribute then: it can be read, with a warning, and not be set."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._instead = "HyperSched.scaling" if name == "assume_linear" else f"HyperSched.options.{name}"
        self.__doc__ = f"Deprecated: use ``{self._instead}``."

    def __get__(self, scheduler: Any, owner: type[Any]) -> Any:
        if scheduler is None:
            return self
        name = self._name
        message = deprecation(f"HyperSched.{name}", "0.1.0", "0.2.0", self._instead)
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        if name == "assume_linear":
            return scheduler.scaling is not None and all(speed_up == n for n, speed_up in scheduler.scaling.items())
        options = scheduler.options
        return getattr(options if isinstance(options, PublishedRules) else PublishedRules(), name)

    def __set__(self, scheduler: Any, value: object) -> None:
        raise AttributeError(
            f"{self._name} of a {type(scheduler).__name__} must be given when the scheduler is made, as "
            f"{MOVED[self._name]}: setting it to {value!r} would change nothing"
        )


def _set(options: Options, name: str, value: Any) -> None:
    """Enters a value that was checked, as Python's own type, in a frozen object."""
    object.__setattr__(options, name, value)
