"""The strategies of HyperSched by name, made from its arguments."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from syne_hypersched.allocation.allocator import Allocator
from syne_hypersched.allocation.policies import GOODPUT
from syne_hypersched.allocation.scaling import Scaling
from syne_hypersched.allocation.timing import TrialTimes
from syne_hypersched.rungs import rung_levels
from syne_hypersched.schedulers.hypersched._adaptive import POLICIES, AdaptiveStrategy
from syne_hypersched.schedulers.hypersched._pausing import PausingHalving
from syne_hypersched.schedulers.hypersched._published import PublishedStrategy
from syne_hypersched.schedulers.hypersched._retrospective import RetrospectiveHalving
from syne_hypersched.schedulers.hypersched._strategy import Strategy

if TYPE_CHECKING:
    from syne_hypersched.schedulers.hypersched._hypersched import HyperSched

STRATEGIES = ("published", "adaptive")

PAUSED_PER_DEVICE = 10
"""Paused trials that the adaptive strategy may resume, for each device, so that checkpoints do not pile up. In 168 runs
on tables of real learning curves with 8 devices ten have changed no best value, and two have changed five."""

#: Arguments that only the published rules have, with their defaults.
_PUBLISHED_ONLY = {
    "allocation_grid": None,
    "recharge_period": 5,
    "use_pausing": True,
    "speculation": True,
    "job_limit": True,
    "ignore_overhead": False,
    "fixed_exploration": None,
}


def check_strategy(strategy: object) -> None:
    """Raises a ValueError that lists the strategies if ``strategy`` is none of them."""
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(map(repr, STRATEGIES))}, but got {strategy!r}")


def check_adaptive(scheduler: HyperSched) -> None:
    """Checks that the scheduler has no argument that the adaptive strategy would ignore.

    Raises
    ------
    ValueError
        It has one; the message names it.
    """
    if scheduler.policy not in POLICIES:
        choices = ", ".join(map(repr, POLICIES))
        raise ValueError(f'policy must be one of {choices} with strategy="adaptive", but got {scheduler.policy!r}')
    for name, default in _PUBLISHED_ONLY.items():
        given = getattr(scheduler, name)
        if given != default:
            raise ValueError(
                f'{name} is for strategy="published" and must be left out with strategy="adaptive", the default, '
                f"but got {given!r}"
            )


def make_strategy(
    scheduler: HyperSched, first_rung: float | None, times: TrialTimes, scaling: Scaling, known: Scaling | None
) -> Strategy:
    """The strategy that the scheduler's arguments ask for.

    Parameters
    ----------
    scheduler
        Whose arguments, once they are checked, are taken.
    first_rung
        Level of the first rung of the adaptive strategy, None for its own choice.
    times
        Times of the trials, which the scheduler keeps up to date.
    scaling
        Speed-up of a trial by number of devices, given or learnt.
    known
        The same where it is given, else None.
    """
    rates = None
    if scheduler.policy == GOODPUT:
        rates = partial(times.rates, num_devices=scheduler.num_devices, scaling=known)
    if scheduler.strategy == "adaptive":
        return AdaptiveStrategy(
            times,
            scaling,
            PausingHalving(scheduler.max_t, first_rung, scheduler.reduction_factor),
            scheduler.num_devices,
            scheduler.deadline_s,
            scheduler.max_t,
            scheduler.policy,
            rates,
        )
    allocator = Allocator(
        scheduler.num_devices,
        scheduler.policy,
        scaling,
        scheduler.allocation_grid,
        scheduler.recharge_period,
        scheduler.random_state,
        rates=rates,
        max_t=scheduler.max_t,
    )
    levels = rung_levels(scheduler.grace_period, scheduler.reduction_factor, scheduler.max_t)
    return PublishedStrategy(
        times,
        RetrospectiveHalving(levels, scheduler.reduction_factor, retrospective=scheduler.speculation),
        allocator,
        scheduler.deadline_s,
        scheduler.max_t,
        scheduler.reduction_factor,
        scheduler.job_limit,
        scheduler.ignore_overhead,
        scheduler.fixed_exploration,
    )
