from __future__ import annotations

import math

from syne_hypersched.schedulers.hypersched._paused import PausedTrials


def make(best: dict[int, float]) -> tuple[PausedTrials, dict[int, None], dict[int, float]]:
    """Trials that are all paused with these best values, the trials that run, and the best values."""
    live: dict[int, None] = {}
    paused = PausedTrials(live, best)
    for trial_id, value in best.items():
        paused.add((value, trial_id))
    return paused, live, best


def test_the_best_is_first_until_it_runs():
    paused, live, _ = make({0: 0.3, 1: 0.1, 2: 0.2})
    assert paused.first() == paused.first() == (0.1, 1)
    live[1] = None
    assert paused.first() == (0.2, 2)
    live[2] = live[0] = None
    assert paused.first() is None


def test_a_trial_that_has_ended_or_has_improved_since_is_passed_over():
    paused, live, best = make({0: 0.3, 1: 0.1, 2: 0.2})
    del best[1]
    assert paused.first() == (0.2, 2)
    live[2] = None
    best[2] = 0.15
    del live[2]
    paused.add((0.15, 2))
    assert paused.take(3) == [(0.15, 2), (0.3, 0)]


def test_a_trial_without_a_finite_value_is_never_resumed():
    paused, _, _ = make({0: math.inf})
    assert paused.first() is None
    paused.add((0.5, 1))
    assert paused.first() is None, "it has no best value"


def test_the_best_are_taken_out_once_each_however_often_they_were_paused():
    paused, _, _ = make({0: 0.3, 1: 0.1, 2: 0.2})
    for pause in ((0.1, 1), (0.2, 2), (0.1, 1)):
        paused.add(pause)
    assert paused.take(0) == []
    assert paused.take(2) == [(0.1, 1), (0.2, 2)]
    assert paused.take(5) == [(0.2, 2), (0.3, 0)], "the second pause of trial 2 was not taken"
    assert paused.take(1) == []
