from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.schedulers.hypersched._retrospective import RetrospectiveHalving


class SlowHalving:
    """The rules as in the paper: percentiles of plain dictionaries, recomputed at every report."""

    def __init__(self, levels, reduction_factor, retrospective=True):
        self.rungs = {level: {} for level in levels}
        self.share = 1 / reduction_factor
        self.retrospective = retrospective

    def cutoff(self, level):
        recorded = list(self.rungs[level].values())
        return float(np.quantile(recorded, self.share)) if len(recorded) >= 2 else math.inf

    def weak_levels(self, trial_id):
        return [
            level
            for level, recorded in self.rungs.items()
            if trial_id in recorded and recorded[trial_id] > self.cutoff(level)
        ]

    def report(self, trial_id, resource, value):
        passed = [level for level in self.rungs if level <= resource]
        new = [level for level in passed if trial_id not in self.rungs[level]]
        for level in new:
            self.rungs[level][trial_id] = value
        held_against = passed if self.retrospective else new
        return value == math.inf or any(level in held_against for level in self.weak_levels(trial_id))


@st.composite
def histories(draw):
    num_trials = draw(st.integers(1, 6))
    steps = draw(
        st.lists(
            st.tuples(st.integers(0, num_trials - 1), st.integers(1, 4), st.integers(0, 6)), min_size=1, max_size=40
        )
    )
    return steps, draw(st.sampled_from([2, 4])), draw(st.booleans())


@given(histories())
def test_reports_are_judged_as_by_a_slow_reference(history):
    steps, reduction_factor, retrospective = history
    levels = (1, 2, 4, 8)
    fast = RetrospectiveHalving(levels, reduction_factor, retrospective)
    slow = SlowHalving(levels, reduction_factor, retrospective)
    epochs: dict[int, int] = {}
    for trial_id, ahead, value in steps:
        epochs[trial_id] = epochs.get(trial_id, 0) + ahead
        assert fast.report(trial_id, epochs[trial_id], value) == slow.report(trial_id, epochs[trial_id], value)


@given(histories())
def test_a_resumed_trial_is_weak_at_no_rung_and_no_better_trial_waits_there(history):
    steps, reduction_factor, _ = history
    levels = (1, 2, 4, 8)
    halving = RetrospectiveHalving(levels, reduction_factor)
    slow = SlowHalving(levels, reduction_factor)
    epochs: dict[int, int] = {}
    paused: set[int] = set()
    for trial_id, ahead, value in steps:
        if trial_id in paused:
            continue
        epochs[trial_id] = epochs.get(trial_id, 0) + ahead
        weak = halving.report(trial_id, epochs[trial_id], value)
        slow.report(trial_id, epochs[trial_id], value)
        if weak:
            halving.pause(trial_id)
            paused.add(trial_id)
        promotable = {waiting for waiting in paused if not slow.weak_levels(waiting)}
        chosen = halving.promotable()
        assert (chosen is None) == (not promotable)
        if chosen is not None:
            assert chosen in promotable
            halving.forget(chosen)
            paused.remove(chosen)


def test_the_retrospective_rule_pauses_a_trial_that_was_good_enough_before():
    for retrospective in (True, False):
        halving = RetrospectiveHalving((1, 4), 2, retrospective)
        assert not halving.report(0, 1, 0.5)
        assert not halving.report(1, 1, 0.3)
        assert halving.report(2, 1, 0.6)
        assert not halving.report(3, 1, 0.2)
        assert halving.report(0, 2, 0.0) == retrospective


def test_equality_with_the_cutoff_is_not_weak():
    halving = RetrospectiveHalving((1,), 3)
    for trial_id in range(7):
        assert not halving.report(trial_id, 1, 0.5)
    assert halving.report(7, 1, 0.6)


def test_a_trial_that_another_rung_would_pause_again_is_not_resumed():
    halving = RetrospectiveHalving((1, 4), 2)
    assert not halving.report(0, 1, 0.5)
    assert not halving.report(0, 4, 0.5)
    assert not halving.report(1, 1, 0.4)
    assert not halving.report(1, 4, 0.3)
    assert halving.report(0, 5, 0.5)
    halving.pause(0)  # weak at both rungs, and waits at the higher one
    assert halving.promotable() is None
    # Worse trials at the higher rung make it good enough there, but at the lower one it still is weak.
    halving.report(2, 1, 0.1)
    halving.report(2, 4, 0.9)
    assert halving.promotable() is None
    # Now it is good enough at both.
    for trial_id in (3, 4):
        halving.report(trial_id, 1, 0.9)
    assert halving.promotable() == 0
    halving.forget(0)
    assert halving.promotable() is None


def test_a_value_of_infinity_is_weak_wherever_it_is_reported():
    halving = RetrospectiveHalving((4,), 4)
    assert halving.report(0, 1, math.inf)
    assert halving.report(1, 4, math.inf)
    assert halving.report(2, 4, math.inf)


@pytest.mark.parametrize("levels", [(), (1,)])
def test_short_ladders(levels):
    halving = RetrospectiveHalving(levels, 4)
    assert not halving.report(0, 5, 1.0)
    assert halving.report(1, 5, 2.0) == bool(levels)
    halving.pause(1)
    assert halving.promotable() is None


@pytest.mark.parametrize(("value", "is_outdone"), [(2.0, False), (2.5, True)])
def test_a_weak_trial_is_outdone_by_a_paused_one_that_is_better_and_not_by_an_equal_one(value, is_outdone):
    halving = RetrospectiveHalving([1.0], reduction_factor=4)
    halving.report(0, 1.0, 1.0)
    assert halving.report(1, 1.0, 2.0)
    halving.pause(1)
    assert halving.report(2, 1.0, value)
    assert halving.is_outdone(2) == is_outdone
