"""Successive halving of the adaptive strategy."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.schedulers.hypersched._pausing import LEAST_RECORDED, PausingHalving


def arrive(halving: PausingHalving, values: list[float], level: float = 2) -> list[bool]:
    """Trials 0, 1, ... reach a rung one after the other; the weak ones are paused."""
    verdicts = []
    for trial_id, value in enumerate(values):
        verdicts.append(halving.report(trial_id, level, value))
        if verdicts[-1]:
            halving.pause(trial_id)
    return verdicts


def test_only_the_best_of_all_passes_before_there_is_evidence():
    halving = PausingHalving(81, first_rung=2)
    halving.report(9, 1, 0.45)
    assert arrive(halving, [0.5, 0.6]) == [True, True]
    assert halving.promotable() is None
    assert not PausingHalving(81, first_rung=2).report(0, 2, 0.5)


def test_one_in_three_goes_on_and_who_was_early_may_go_on_later():
    halving = PausingHalving(81, first_rung=2)
    halving.report(9, 1, 0.35)
    assert arrive(halving, [0.5, 0.4, 0.6, 0.3, 0.7, 0.8]) == [True, True, True, False, True, True]
    assert halving.promotable() == 1
    halving.forget(1)
    assert halving.promotable() == 0


def test_ties_go_on():
    halving = PausingHalving(81, first_rung=2)
    assert arrive(halving, [0.5, 0.5, 0.5, 0.5]) == [False, True, False, False]


def test_rungs_double_from_twice_the_level_of_the_first_report():
    halving = PausingHalving(100)
    halving.report(9, 10, 0.5)
    reached = {level: halving.report(0, level, 1.0) for level in (10, 20, 30, 35, 40, 80, 90)}
    assert [level for level, weak in reached.items() if weak] == [20, 40, 80]


def test_a_trial_that_skips_rungs_is_held_against_the_highest_that_it_has_reached():
    halving = PausingHalving(81, first_rung=2)
    arrive(halving, [0.05, 0.4, 0.6])
    assert halving.report(3, 9, 0.1)
    halving.pause(3)
    for trial_id, value in ((4, 0.3), (5, 0.2)):
        halving.report(trial_id, 9, value)
    assert halving.promotable() == 3


def test_nan_is_always_weak_and_never_goes_on():
    halving = PausingHalving(81, first_rung=2)
    assert arrive(halving, [math.inf] * 4) == [True] * 4
    assert halving.report(9, 1, math.inf)
    assert halving.promotable() is None


def test_one_level_has_no_rung():
    halving = PausingHalving(1)
    assert not halving.report(0, 1, 1.0)
    assert halving.promotable() is None


@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_at_most_a_third_and_one_with_distinct_values_go_on(values):
    values = list(dict.fromkeys(values))
    halving = PausingHalving(81, first_rung=2)
    arrive(halving, values)
    while (trial_id := halving.promotable()) is not None:
        halving.forget(trial_id)
    best = sorted(values)
    if len(values) >= LEAST_RECORDED:
        # Whatever the order of arrival, the best third has gone on in the end.
        waiting = {trial_id for trial_id in range(len(values)) if trial_id in halving._paused_at}
        assert all(values.index(value) not in waiting for value in best[: len(values) // 3 + 1])
