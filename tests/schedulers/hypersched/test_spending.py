"""A budget of device-hours, and an end where going on is not worth it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched import Adaptive, HyperSched, LaunchCost, simulate
from syne_hypersched.schedulers.hypersched._spending import Spending
from tests.schedulers.hypersched.test_adaptive import NUM_LEVELS, TABLE, make_scheduler


@given(st.lists(st.tuples(st.integers(0, 8), st.floats(0, 100)), max_size=20))
def test_devices_cost_as_long_as_they_are_held(held):
    spending, now_s, expected_s = Spending(), 0.0, 0.0
    spending.hold(5, now_s)
    for num_devices, seconds in held:
        now_s += seconds
        expected_s += num_devices * seconds
        spending.hold(num_devices, now_s)
        spending.hold(num_devices, now_s - 1)  # a clock does not go back
        spending.hold(num_devices, now_s)
        expected_s += num_devices
    assert spending.used_device_hours * 3600 == pytest.approx(expected_s)


def test_a_budget_ends_when_it_is_spent():
    spending = Spending(budget_device_hours=2.0)
    spending.hold(0, 0.0), spending.hold(4, 900.0)
    assert spending.budget_ends_s(900.0, 4) == 1800.0
    assert spending.budget_ends_s(900.0, 1) == 4500.0
    spending.hold(4, 9000.0)
    assert spending.budget_ends_s(9000.0, 4) == 9000.0
    assert Spending().budget_ends_s(0.0, 4) == math.inf


def test_the_gain_is_that_of_the_last_part():
    spending = Spending(min_gain=0.5)
    spending.hold(0, 0.0)
    spending.improve(3.0)
    assert spending.gain(3600.0) is None
    spending.hold(1, 3600.0)
    spending.improve(2.0)
    assert spending.gain(3600.0) is None, "too little was spent"
    spending.hold(1, 7200.0)
    spending.improve(1.4)
    assert spending.gain(3600.0) == pytest.approx(0.6)
    assert not spending.no_longer_pays(3600.0)
    spending.hold(1, 4 * 3600.0)
    assert spending.gain(3600.0) == pytest.approx(0.3), "the last improvement was 0.6, two device-hours ago"
    assert spending.no_longer_pays(3600.0)
    assert not Spending().no_longer_pays(3600.0)


def test_what_was_counted_by_another_clock_is_forgotten():
    spending = Spending()
    spending.hold(4, 100.0), spending.hold(4, 900.0)
    spending.restart()
    spending.hold(4, 5.0)
    assert spending.used_device_hours == 0
    spending.hold(4, 14.0)
    assert spending.used_device_hours == 0.01


def run(scheduler, **options):
    return simulate(
        scheduler, TABLE, num_devices=8, deadline_s=scheduler.deadline_s, scaling="resnet50",
        launch_cost=LaunchCost(start_s=0.1), **options,
    )  # fmt: skip


@pytest.mark.parametrize("budget", [0.04, 0.1])
def test_no_more_is_spent_than_the_budget_and_a_last_stretch_fits_in(budget):
    for seed in range(3):
        scheduler = make(seed, budget_device_hours=budget)
        simulation = run(scheduler)
        spent = simulation.device_seconds_held / 3600
        # A launch may be under way when the time of the next report is estimated.
        assert 0.8 * budget <= spent <= 1.1 * budget
        assert simulation.results.st_num_devices.max() > 1


def make(seed, **options):
    return HyperSched(
        TABLE.configuration_space, "accuracy", "epoch", NUM_LEVELS, 8, 60.0, do_minimize=False, random_seed=seed,
        searcher="random_search", scaling="resnet50", strategy=Adaptive(**options),
    )  # fmt: skip


def test_a_budget_that_is_larger_than_all_there_is_changes_nothing():
    plain, rich = run(make_scheduler()), run(make(0, budget_device_hours=100.0))
    assert plain.results.equals(rich.results)


def test_the_search_ends_after_a_last_stretch_when_it_brings_too_little(caplog):
    caplog.set_level("INFO")
    # Nothing can bring so much: it ends as soon as the gain can be told.
    greedy = make(0, min_gain=1e6)
    simulation = run(greedy)
    assert simulation.end_s < 45
    assert simulation.results.st_num_devices.max() > 1, "after a last stretch"
    assert "improved accuracy by less than min_gain=1e+06" in caplog.text
    assert not greedy.admission_open
    # Anything pays: it goes on until the deadline.
    assert run(make(0, min_gain=0.0)).end_s == pytest.approx(60.0, abs=2)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [({"budget_device_hours": 0}, ValueError, "budget_device_hours"), ({"min_gain": -1}, ValueError, "min_gain"),
     ({"min_gain": "x"}, TypeError, "min_gain"), ({"devices_over_time": 3}, TypeError, "devices_over_time must be")],
)  # fmt: skip
def test_options_must_make_sense(options, error, message):
    with pytest.raises(error, match=message):
        Adaptive(**options)
