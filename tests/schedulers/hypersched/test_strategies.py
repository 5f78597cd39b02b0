from __future__ import annotations

from typing import Any

import pytest
from numpy.random import RandomState

from syne_hypersched.allocation.scaling import LinearScaling, make_scaling
from syne_hypersched.allocation.timing import TimedReport, TrialTimes
from syne_hypersched.schedulers.hypersched._adaptive import AdaptiveStrategy
from syne_hypersched.schedulers.hypersched._options import Adaptive, PublishedRules
from syne_hypersched.schedulers.hypersched._published import PublishedStrategy
from syne_hypersched.schedulers.hypersched._strategies import check_policy_for, make_strategy
from syne_hypersched.schedulers.hypersched._strategy import Strategy


def make(options: Any, times: TrialTimes, **arguments: Any) -> Strategy:
    arguments = {
        "num_devices": 4, "deadline_s": 100.0, "max_t": 1000.0, "policy": "top_job", "grace_period": None,
        "reduction_factor": 3, "random_state": RandomState(0), "times": times, "scaling": LinearScaling(), **arguments,
    }  # fmt: skip
    return make_strategy(options, **arguments)


def report(strategy: Strategy, times: TrialTimes, trial_id: int, resource: float, value: float, now_s: float) -> Any:
    times.report(trial_id, TimedReport(resource, now_s), now_s)
    return strategy.report(trial_id, resource, value, now_s)


def start(strategy: Strategy, times: TrialTimes, *trial_ids: int) -> None:
    for trial_id in trial_ids:
        strategy.begin(trial_id)
        times.start(trial_id, 0.0)


def test_the_options_name_the_strategy():
    assert isinstance(make(Adaptive(), TrialTimes()), AdaptiveStrategy)
    assert isinstance(make(PublishedRules(), TrialTimes()), PublishedStrategy)


def test_policies_are_those_of_the_strategy():
    check_policy_for(PublishedRules(), "random")
    check_policy_for(Adaptive(), "none")
    with pytest.raises(ValueError, match=r"policy must be one of .* with strategy=\"adaptive\", but got 'random'"):
        check_policy_for(Adaptive(), "random")
    with pytest.raises(ValueError, match=r"policy must be one of .*'random'.*, but got 'best'"):
        check_policy_for(PublishedRules(), "best")


@pytest.mark.parametrize(("grace_period", "is_weak_at"), [(None, 1), (1, 1), (4, 4)])
@pytest.mark.parametrize("options", [PublishedRules(), Adaptive()])
def test_the_first_rung(options, grace_period, is_weak_at):
    if isinstance(options, Adaptive) and grace_period is None:
        is_weak_at = 2  # twice the level of the first report
    times = TrialTimes()
    strategy = make(options, times, grace_period=grace_period)
    start(strategy, times, 0, 1)
    weak = []
    for level in range(1, 5):
        report(strategy, times, 0, level, 0.1, float(level))
        weak.append(report(strategy, times, 1, level, 0.2, float(level)) is not None)
    assert weak.index(True) + 1 == is_weak_at


def test_options_of_the_published_rules_reach_them():
    sizes = {}
    for grid, recharge_period in ((None, 0), (2, 0), (None, 1)):
        times = TrialTimes()
        strategy = make(PublishedRules(allocation_grid=grid, recharge_period=recharge_period), times)
        start(strategy, times, 0, 1)
        report(strategy, times, 0, 1, 0.5, 1.0)
        strategy.close()
        resize = strategy.resize(0, 1.0)
        sizes[grid, recharge_period] = None if resize is None else resize[0]
    assert sizes == {(None, 0): 3, (2, 0): 2, (None, 1): None}
    for speculation in (True, False):
        times = TrialTimes()
        strategy = make(PublishedRules(speculation=speculation), times)
        start(strategy, times, 0, 1)
        report(strategy, times, 0, 1, 0.5, 1.0)
        report(strategy, times, 1, 1, 0.4, 1.0)
        # Trial 0 was good enough when it passed the rung, and is not any more.
        assert (report(strategy, times, 0, 2, 0.5, 2.0) is not None) == speculation


@pytest.mark.parametrize(("scaling", "num_devices"), [({1: 1, 4: 1}, None), ("linear", 4), (None, 4)])
def test_goodput_takes_the_scaling_that_is_given_and_else_learns_it(scaling, num_devices):
    times = TrialTimes()
    strategy = make(
        PublishedRules(recharge_period=0), times, policy="goodput", scaling=make_scaling(scaling, 4, times.learnt)
    )
    start(strategy, times, 0)
    for epoch in range(1, 5):
        report(strategy, times, 0, epoch, 0.5, float(epoch))
    strategy.close()
    resize = strategy.resize(0, 5.0)
    # Before more devices than one were seen, more are taken to be worth a try.
    assert (None if resize is None else resize[0]) == num_devices
