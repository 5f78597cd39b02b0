from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.allocation.allocator import Allocator
from syne_hypersched.allocation.policies import POLICIES
from syne_hypersched.allocation.scaling import LinearScaling, Scaling, TableScaling


def make(
    num_devices: int = 8,
    policy: str = "uniform",
    scaling: Scaling | None = None,
    allocation_grid: int | None = None,
    recharge_period: int = 0,
) -> Allocator:
    return Allocator(
        num_devices, policy, scaling or LinearScaling(), allocation_grid, recharge_period, np.random.RandomState(0)
    )


def report(allocator: Allocator, trial_id: int, value: float, time_left_s: float = 100.0) -> int | None:
    allocator.report(trial_id, value)
    return allocator.resize(trial_id, time_left_s, launch_cost_s=1.0)


def test_the_survivor_of_two_gets_what_the_other_one_held():
    allocator = make(num_devices=2)
    allocator.begin(0)
    allocator.begin(1)
    assert report(allocator, 0, 0.5) is None
    allocator.end(1)
    assert report(allocator, 0, 0.4) == 2
    assert (allocator.allocation, allocator.num_free) == ({0: 2}, 0)
    assert report(allocator, 0, 0.3) is None


def test_growing_waits_until_the_trial_that_is_to_shrink_has_reported():
    allocator = make(num_devices=4, policy="top_job")
    allocator.begin(0)
    allocator.begin(1)
    assert report(allocator, 0, 0.5) == 3
    assert report(allocator, 1, 0.1) is None
    assert report(allocator, 0, 0.5) == 1
    assert report(allocator, 1, 0.1) == 3


def test_a_trial_recharges_after_every_resize():
    allocator = make(num_devices=3, policy="top_job", recharge_period=2)
    allocator.begin(0)
    allocator.begin(1)
    assert [report(allocator, 0, 0.0) for _ in range(4)] == [None, None, 2, None]
    allocator.end(1)
    assert [report(allocator, 0, 0.0) for _ in range(3)] == [None, 3, None]


def test_a_resumed_trial_starts_on_one_device():
    allocator = make(num_devices=2, recharge_period=1)
    allocator.begin(0)
    assert [report(allocator, 0, 0.0) for _ in range(2)] == [None, 2]
    allocator.end(0)
    allocator.begin(0)
    assert allocator.allocation == {0: 1}
    assert [report(allocator, 0, 0.0) for _ in range(2)] == [None, 2]


def test_growing_keeps_to_the_grid_and_to_what_is_faster():
    on_grid = make(num_devices=7, allocation_grid=4)
    on_grid.begin(0)
    assert report(on_grid, 0, 0.0) == 4
    falling = make(num_devices=8, scaling=TableScaling({1: 1, 4: 3, 8: 2}))
    falling.begin(0)
    assert report(falling, 0, 0.0) == 4


def test_random_shares_change_only_when_a_trial_starts_or_ends():
    allocator = make(num_devices=16, policy="random", recharge_period=0)
    for trial_id in range(3):
        allocator.begin(trial_id)
    for _ in range(6):
        settled = [report(allocator, trial_id, 0.0) for trial_id in range(3)]
    assert settled == [None, None, None]
    allocator.end(2)
    assert any(report(allocator, trial_id, 0.0) for trial_id in (0, 1))


def test_a_trial_gets_no_more_devices_than_it_can_use() -> None:
    allocator = make(num_devices=4)
    allocator.begin(0)
    assert report(allocator, 0, 0.5) == 4
    allocator.limit(0, num_devices=1, most=3)
    assert allocator.allocation == {0: 1}
    assert report(allocator, 0, 0.4) == 3
    # What it holds is not too much.
    allocator.limit(0, num_devices=1, most=3)
    assert allocator.allocation == {0: 3}
    assert report(allocator, 0, 0.3) is None


def test_more_trials_than_devices_are_refused():
    allocator = make(num_devices=2)
    allocator.begin(0)
    allocator.begin(1)
    with pytest.raises(ValueError, match=r"num_devices must be at least the tuner's n_workers, but trial 2 is to run"):
        allocator.begin(2)


def test_an_unknown_policy_is_refused():
    with pytest.raises(ValueError, match=r"policy must be one of .*, but got 'fair'"):
        make(policy="fair")


actions = st.lists(
    st.tuples(st.sampled_from(["begin", "end", "report"]), st.integers(0, 9), st.floats(-3, 3), st.floats(-5, 100)),
    max_size=80,
)


@given(actions, st.integers(1, 9), st.sampled_from(POLICIES), st.sampled_from([None, 2, 3]))
def test_no_device_is_given_twice(actions, num_devices, policy, grid):
    scaling = TableScaling({1: 1, 2: 1.5, 3: 1.4, 4: 3, 7: 2})
    usable = scaling.usable_sizes(num_devices, grid)
    allocator = make(num_devices, policy, scaling, grid)
    for what, trial_id, value, time_left_s in actions:
        if what == "begin" and trial_id not in allocator and allocator.num_free:
            allocator.begin(trial_id)
        elif what == "end":
            allocator.end(trial_id)
        elif what == "report" and trial_id in allocator:
            before = allocator.allocation
            now = report(allocator, trial_id, value, time_left_s)
            assert now != before[trial_id]
            assert allocator.allocation == before | ({trial_id: now} if now else {})
        held = allocator.allocation
        assert all(devices in usable for devices in held.values())
        assert sum(held.values()) + allocator.num_free == num_devices
        assert allocator.num_free >= 0


def test_goodput_needs_rates_and_no_other_policy_takes_them():
    arguments = (4, LinearScaling(), None, 0, np.random.RandomState(0))
    for policy, rates in (("goodput", None), ("uniform", lambda trial_id: None)):
        with pytest.raises(ValueError, match=r"rates must be given with policy 'goodput' and no other, but got"):
            Allocator(arguments[0], policy, *arguments[1:], rates=rates)


def test_goodput_gives_devices_by_each_trials_own_rates():
    rates = {0: None, 1: np.array([1.0, 1.01, 1.02, 1.03]), 2: np.array([1.0, 1.9, 2.8, 3.6])}
    allocator = Allocator(4, "goodput", LinearScaling(), None, 0, np.random.RandomState(0), rates.get, max_t=1e6)
    for trial_id in rates:
        allocator.begin(trial_id)
        allocator.report(trial_id, float(trial_id), resource=1.0)
    assert [allocator.resize(trial_id, 100.0, 1.0) for trial_id in rates] == [None, None, 2]


def test_with_fewer_devices_trials_shrink_and_with_more_they_grow_again():
    allocator = make(num_devices=8)
    allocator.begin(0), allocator.begin(1)
    report(allocator, 0, 0.1), report(allocator, 1, 0.2)
    assert allocator.allocation == {0: 4, 1: 4}
    allocator.set_present(4)
    assert (report(allocator, 0, 0.1), report(allocator, 1, 0.2)) == (2, 2)
    allocator.set_present(8)
    assert (report(allocator, 0, 0.1), report(allocator, 1, 0.2)) == (4, 4)


@pytest.mark.parametrize("policy", POLICIES)
def test_with_fewer_devices_than_trials_each_is_to_have_one(policy):
    allocator = make(num_devices=4, policy=policy)
    for trial_id in range(3):
        allocator.begin(trial_id)
    allocator.set_present(2)
    assert [report(allocator, trial_id, 0.1) for trial_id in range(3)] == [None] * 3
    allocator.begin(3)  # the tuner knows of all devices, and lets it wait
    assert allocator.num_free == 0
    allocator.set_present(0)
    assert report(allocator, 3, 0.1) is None


def test_a_draw_holds_as_long_as_the_devices_are_the_same():
    allocator = make(num_devices=8, policy="random")
    allocator.begin(0), allocator.begin(1)
    report(allocator, 0, 0.1), report(allocator, 1, 0.2)
    allocator.set_present(2)
    assert all((report(allocator, trial_id, 0.1) or 1) == 1 for trial_id in (0, 1))
