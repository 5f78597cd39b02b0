"""The scenarios under which the search is repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from syne_tune.config_space import choice, randint
from syne_tune.optimizer.scheduler import TrialScheduler

from syne_hypersched import checks
from syne_hypersched._wording import seconds_text
from syne_hypersched.replay._curves import RunCurves
from syne_hypersched.schedulers import ASHA, PASHA, HyperSched

NAMES = ("hypersched", "hypersched-published", "asha", "asha-promotion", "pasha", "to-the-end")
"""Schedulers by name; ``to-the-end`` trains every trial up to the highest level."""

KNOWN = "what run_curves returns"

AS_IT_WAS = "as it was"
"""Label of the scenario with the settings of the run itself."""

_KEPT = ("reduction_factor", "policy", "brackets", "ranking_criterion", "max_paused")
_GRACE_PERIODS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class ReplayScenario:
    """One way to repeat the search.

    >>> half = ReplayScenario("half of the devices", "hypersched", num_devices=4, deadline_s=600.0)
    >>> half.num_devices, half.grace_period
    (4, None)

    Parameters
    ----------
    label
        The difference from the run, in words.
    scheduler
        One of :const:`NAMES`.
    num_devices
        Number of devices.
    deadline_s
        Seconds from the first launch to the end of the search.
    grace_period
        Level of the first rung; None leaves it to the scheduler.
    kwargs
        More arguments of the scheduler.

    Raises
    ------
    TypeError, ValueError
        An argument has a wrong type, the scheduler is unknown, or a number is not positive.
    """

    label: str
    scheduler: str
    num_devices: int
    deadline_s: float
    grace_period: float | None = None
    kwargs: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        checks.text("label", self.label)
        checks.one_of("scheduler", self.scheduler, NAMES)
        checks.positive_integer("num_devices", self.num_devices)
        checks.positive_seconds("deadline_s", self.deadline_s)
        if self.grace_period is not None:
            checks.number("grace_period", self.grace_period, "a positive number or None", above=0.0)
        if self.kwargs is not None and not isinstance(self.kwargs, Mapping):
            raise TypeError(f"kwargs must be a dictionary or None, but got {self.kwargs!r}")


def own_scheduler(known: RunCurves) -> tuple[str, float | None, dict[str, Any]] | None:
    """Name, first rung and other arguments of the run's own scheduler; None if it is not from this package."""
    kwargs = known.scheduler_kwargs
    kept = {name: kwargs[name] for name in _KEPT if kwargs.get(name) is not None}
    grace = kwargs.get("grace_period")
    grace_period = float(grace) if isinstance(grace, (int, float)) else None
    if known.scheduler_name == "HyperSched":
        is_published = kwargs.get("strategy") in ("published", "PublishedRules")
        # Unless a first rung is given, the adaptive strategy derives it from the first report. Both are stored as 1.
        unless_given = grace_period if is_published or grace_period != 1 else None
        return "hypersched-published" if is_published else "hypersched", unless_given, kept
    if known.scheduler_name == "ASHA":
        return "asha-promotion" if kwargs.get("type") == "promotion" else "asha", grace_period, kept
    if known.scheduler_name == "PASHA":
        return "pasha", grace_period, kept
    return None


def default_scenarios(
    known: RunCurves,
    schedulers: Sequence[str] | None = None,
    grace_periods: Sequence[float] | None = None,
    num_devices: Sequence[int] | None = None,
    deadlines_s: Sequence[float] | None = None,
) -> list[ReplayScenario]:
    """The scenarios of a replay: the run as it was, and then one difference at a time.

    Parameters
    ----------
    known
        The run.
    schedulers, grace_periods, num_devices, deadlines_s
        The differences. Default: all schedulers, a first rung at 1, 2, 4 ..., half and twice as many devices, and half
        and twice the time.

    Raises
    ------
    TypeError
        An argument has a wrong type.
    ValueError
        A scheduler is unknown.
    """
    checks.instance("known", known, RunCurves, KNOWN)
    for name in schedulers or ():
        if name not in NAMES:
            raise ValueError(f"--schedulers must be among {', '.join(NAMES)}, but got {name!r}")
    own = own_scheduler(known)
    name, grace_period, kwargs = own or ("hypersched", None, {})
    here = ReplayScenario(AS_IT_WAS, name, known.num_devices, known.deadline_s, grace_period, kwargs)
    found = [here] if own else []
    if schedulers is None:
        schedulers = [other for other in NAMES if own is None or other != name]
    found += [
        # If the run was given a first rung, the others get it, too: only one thing differs at a time.
        replace(here, label=f"with {other}", scheduler=other, kwargs={})
        for other in schedulers
    ]
    if own is None:
        return found
    if grace_periods is None:
        grace_periods = [level for level in _GRACE_PERIODS if level <= known.max_t / 2 and level != grace_period]
    found += [replace(here, label=f"with a first rung at {level:g}", grace_period=level) for level in grace_periods]
    if num_devices is None:
        half = max(1, known.num_devices // 2)
        num_devices = [number for number in (half, 2 * known.num_devices) if number != known.num_devices]
    found += [
        replace(here, label=f"with {number} device{'s' * (number != 1)}", num_devices=number) for number in num_devices
    ]
    if deadlines_s is None:
        deadlines_s = [known.deadline_s / 2, 2 * known.deadline_s]
    found += [replace(here, label=f"with {seconds_text(seconds)} s", deadline_s=seconds) for seconds in deadlines_s]
    return found


def brief_scenarios(known: RunCurves) -> list[ReplayScenario]:
    """The few scenarios at the end of a tuning: half of the devices, and another first rung.

    Parameters
    ----------
    known
        The run.

    Raises
    ------
    TypeError
        ``known`` has a wrong type, for example an experiment.
    """
    checks.instance("known", known, RunCurves, KNOWN)
    own = own_scheduler(known)
    if own is None:
        return []
    half = [known.num_devices // 2] if known.num_devices > 1 else []
    rung = [2.0 if own[1] == 1 else 1.0] if known.max_t >= 4 else []
    return default_scenarios(known, [], rung, half, [])[1:]


def make_scheduler(known: RunCurves, scenario: ReplayScenario, searcher: object) -> TrialScheduler:
    """The scheduler of a scenario, which asks ``searcher`` for its configurations.

    Raises
    ------
    TypeError, ValueError
        The scheduler rejects an argument.
    """
    space = {"trial": _trial_numbers(known)}
    named = {
        "metric": known.metric,
        "time_attr": known.time_attr,
        "max_t": known.max_t,
        "do_minimize": known.do_minimize,
        "searcher": searcher,
        "random_seed": 0,
        **(scenario.kwargs or {}),
    }
    if scenario.grace_period is not None:
        named["grace_period"] = scenario.grace_period
    if scenario.scheduler in ("hypersched", "hypersched-published"):
        strategy = "published" if scenario.scheduler == "hypersched-published" else "adaptive"
        named |= {"num_devices": scenario.num_devices, "deadline_s": scenario.deadline_s, "strategy": strategy}
        return HyperSched(space, **named)
    if scenario.scheduler == "pasha":
        return PASHA(space, **named)
    if scenario.scheduler == "to-the-end":
        return ASHA(space, **{**named, "type": "stopping", "grace_period": known.max_t})
    kind = "promotion" if scenario.scheduler == "asha-promotion" else "stopping"
    return ASHA(space, **{**named, "type": kind})


def _trial_numbers(known: RunCurves) -> Any:
    """The space of a replay: the number of a trial of the run."""
    ids = [curve.trial_id for curve in known.curves]
    return randint(min(ids), max(ids)) if len(ids) > 1 else choice(ids)
