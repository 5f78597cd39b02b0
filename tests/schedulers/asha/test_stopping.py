from __future__ import annotations

import math

import numpy as np

from syne_hypersched.schedulers.asha import CONTINUE, STOP, StoppingBracket


def make(levels=(1, 3, 9), reduction_factor=3, max_t=27, num_trials=6) -> StoppingBracket:
    bracket = StoppingBracket(levels, reduction_factor, max_t)
    for trial_id in range(num_trials):
        bracket.add(trial_id)
    return bracket


def test_a_trial_goes_on_if_at_most_one_in_three_is_strictly_better():
    bracket = make()
    # Strictly better and recorded, itself included: 0/1, 1/2, 0/3, 1/4, 1/5 (a tie), 2/6 (equality).
    values = (0.5, 0.6, 0.4, 0.45, 0.45, 0.451)
    verdicts = [bracket.report(trial_id, 1, value) for trial_id, value in enumerate(values)]
    assert verdicts == [CONTINUE, STOP, CONTINUE, CONTINUE, CONTINUE, STOP]
    assert bracket.report(0, 2, 99.0) == CONTINUE, "between two rungs nothing is compared"


def test_equality_with_one_in_three_goes_on():
    bracket = make()
    assert [bracket.report(trial_id, 1, value) for trial_id, value in enumerate((0.1, 0.3, 0.2))] == [
        CONTINUE, STOP, CONTINUE,
    ]  # fmt: skip


def test_a_report_past_several_rungs_counts_at_the_highest_and_the_next_ones_below():
    bracket = make()
    assert bracket.report(0, 4, 0.5) == CONTINUE
    low, middle, high = bracket.ladder.rungs
    assert (0 in low, 0 in middle, 0 in high) == (False, True, False)
    assert bracket.report(1, 1, 0.1) == CONTINUE
    assert bracket.report(0, 5, 0.4) == STOP, "now compared at the rung below"
    assert low.value(0) == 0.4


def test_a_trial_that_has_ended_is_told_to_stop_and_changes_nothing():
    bracket = make()
    bracket.end(0)
    assert not bracket.is_running(0)
    assert bracket.report(0, 1, 0.0) == STOP
    assert len(bracket.ladder.rungs[0]) == 0
    assert bracket.report(1, 1, math.inf) == CONTINUE, "alone it is the best"
    assert [bracket.report(trial_id, 1, 0.2) for trial_id in (2, 4)] == [CONTINUE, CONTINUE]
    assert bracket.report(3, 1, math.inf) == STOP
    assert not bracket.is_running(3)
    assert bracket.report(3, 2, 0.0) == STOP


def test_every_trial_runs_to_the_end_at_most_and_none_is_promoted():
    bracket = make()
    assert bracket.first_milestone == 27
    assert bracket.report(0, 26.9, 0.1) == CONTINUE
    assert bracket.report(0, 27, 0.1) == STOP
    assert not bracket.is_running(0)
    assert bracket.is_running(1)
    assert bracket.promote() is None
    assert bracket.promote_in_advance(hopeless=True) is None
    bracket.stop_resuming()
    assert bracket.report(1, 1, 0.3) == CONTINUE


def test_decisions_are_those_of_looking_at_every_rung_at_each_report():
    """Reports below the next level are decided without a look at the rungs."""
    state = np.random.RandomState(0)
    quick, slow = make(num_trials=40), make(num_trials=40)
    level = dict.fromkeys(range(40), 0.0)
    for _ in range(2000):
        trial_id = int(state.randint(40))
        level[trial_id] += float(state.choice([-1, 0, 0.5, 1, 1, 1, 4]))
        value = float(state.choice([state.normal(), math.inf], p=[0.95, 0.05]))
        if slow.is_running(trial_id):
            slow._running[trial_id] = -math.inf
        assert quick.report(trial_id, level[trial_id], value) == slow.report(trial_id, level[trial_id], value)
    for quick_rung, slow_rung in zip(quick.ladder.rungs, slow.ladder.rungs, strict=True):
        assert len(quick_rung) == len(slow_rung)
