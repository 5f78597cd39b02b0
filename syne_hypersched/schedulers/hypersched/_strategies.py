"""The strategy that HyperSched's arguments ask for."""

from __future__ import annotations

from functools import partial

from numpy.random import RandomState

from syne_hypersched.allocation.allocator import Allocator
from syne_hypersched.allocation.policies import GOODPUT, Policy, check_policy
from syne_hypersched.allocation.scaling import Scaling
from syne_hypersched.allocation.timing import TrialTimes
from syne_hypersched.rungs import rung_levels
from syne_hypersched.schedulers.hypersched._adaptive import POLICIES, AdaptiveStrategy
from syne_hypersched.schedulers.hypersched._options import Adaptive, Options, check_policy_of
from syne_hypersched.schedulers.hypersched._pausing import PausingHalving
from syne_hypersched.schedulers.hypersched._published import PublishedStrategy
from syne_hypersched.schedulers.hypersched._retrospective import RetrospectiveHalving
from syne_hypersched.schedulers.hypersched._strategy import Strategy

PAUSED_PER_DEVICE = 10
"""Paused trials that the adaptive strategy may resume, for each device, so that checkpoints do not pile up. In 168 runs
on tables of real learning curves with 8 devices ten have changed no best value, and two have changed five."""


def check_policy_for(options: Options, policy: str) -> None:
    """Raises an error that names ``policy`` unless this strategy has it.

    Raises
    ------
    ValueError
        It has not; the message lists those that it has.
    """
    if isinstance(options, Adaptive):
        check_policy_of(options, policy, POLICIES)
    else:
        check_policy(policy)


def make_strategy(
    options: Options,
    *,
    num_devices: int,
    deadline_s: float,
    max_t: float,
    policy: Policy,
    grace_period: float | None,
    reduction_factor: float,
    random_state: RandomState,
    times: TrialTimes,
    scaling: Scaling,
) -> Strategy:
    """The strategy with these options.

    Parameters
    ----------
    options
        The strategy and the options of its own.
    num_devices, deadline_s, max_t, policy, reduction_factor
        As in :class:`~syne_hypersched.HyperSched`, checked.
    grace_period
        Level of the first rung, None for the strategy's own choice.
    random_state
        Generator that the policy ``random`` draws from.
    times
        Times of the trials, which the scheduler keeps up to date.
    scaling
        Speed-up of a trial by number of devices, given or learnt.
    """
    rates = None
    if policy == GOODPUT:
        # A scaling that was given holds for all trials; else each trial's own throughput is learnt.
        known = None if scaling is times.learnt else scaling
        rates = partial(times.rates, num_devices=num_devices, scaling=known)
    if isinstance(options, Adaptive):
        halving = PausingHalving(max_t, grace_period, reduction_factor)
        return AdaptiveStrategy(times, scaling, halving, num_devices, deadline_s, max_t, policy, rates, options)
    allocator = Allocator(
        num_devices,
        policy,
        scaling,
        options.allocation_grid,
        options.recharge_period,
        random_state,
        rates=rates,
        max_t=max_t,
    )
    levels = rung_levels(1 if grace_period is None else grace_period, reduction_factor, max_t)
    return PublishedStrategy(
        times,
        RetrospectiveHalving(levels, reduction_factor, retrospective=options.speculation),
        allocator,
        deadline_s,
        max_t,
        reduction_factor,
        options,
    )
