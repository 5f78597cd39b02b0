from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.allocation.admission import (
    admission_closes,
    exploration_closes,
    time_needed_s,
)

seconds = st.floats(0, 1e6)


def test_the_rule_of_the_paper():
    # The longest trial has run for 110 s, 10 of them its launch; a full run is 100 epochs of 3 s.
    assert time_needed_s(110, 10, 4, 100, 3.0) == 300
    assert time_needed_s(110, 10, 2, 100, 3.0) == 200
    assert admission_closes(299.9, 300)
    assert not admission_closes(300, 300)


def test_what_is_unknown_bounds_nothing():
    assert time_needed_s(None, 5, 4, 100, None) == 0
    assert time_needed_s(None, 5, 4, 100, 2.0) == 200
    assert time_needed_s(20, 5, 4, 100, None) == 60
    assert not admission_closes(1e-9, 0)


def test_a_launch_that_cost_more_than_the_longest_trial_needs_no_time():
    assert time_needed_s(3, 5, 4, 100, 2.0) == 0


@given(seconds)
def test_admission_closes_at_the_deadline_whatever_is_needed(needed_s):
    assert admission_closes(0.0, needed_s)
    assert admission_closes(-1.0, needed_s)


@given(seconds, seconds, st.floats(1.01, 10), st.floats(1, 1000), seconds)
def test_a_new_trial_never_needs_more_than_a_full_run(longest_s, cost_s, eta, max_t, epoch_s):
    assert 0 <= time_needed_s(longest_s, cost_s, eta, max_t, epoch_s) <= max_t * epoch_s


def test_fixed_exploration():
    assert not exploration_closes(30, 100, 0.3)
    assert exploration_closes(30.1, 100, 0.3)
    assert exploration_closes(100, 100, 1.0)
    assert not exploration_closes(99.9, 100, 1.0)
