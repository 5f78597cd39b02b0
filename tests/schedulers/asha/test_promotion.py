from __future__ import annotations

import math

import pytest

from syne_hypersched.rungs import Rung
from syne_hypersched.schedulers.asha import CONTINUE, PAUSE, STOP, PromotionBracket
from syne_hypersched.schedulers.asha._promotion import promotable_trial


def make(num_trials: int, levels=(1, 3), max_t=9) -> PromotionBracket:
    bracket = PromotionBracket(levels, max_t)
    for trial_id in range(num_trials):
        bracket.add(trial_id)
    return bracket


def arrive(bracket: PromotionBracket, values: list[float], level: float = 1) -> None:
    for trial_id, value in enumerate(values):
        assert bracket.report(trial_id, level, value) == PAUSE


def test_a_trial_is_paused_at_each_milestone_and_stopped_at_the_end():
    bracket = make(2, levels=(2, 6), max_t=18)
    assert bracket.first_milestone == 2
    assert [bracket.report(0, level, 0.1) for level in (1, 2)] == [CONTINUE, PAUSE]
    assert not bracket.is_running(0)
    assert bracket.report(0, 3, 0.0) == PAUSE, "a report that was on its way"
    assert bracket.ladder.rungs[0].value(0) == 0.1
    assert bracket.report(1, 2, 0.2) == PAUSE
    assert bracket.promote() == (0, 6)
    assert bracket.is_running(0)
    assert [bracket.report(0, level, 0.1) for level in (5, 7)] == [CONTINUE, PAUSE]
    assert bracket.promote_in_advance(hopeless=True) == (0, 18)
    assert [bracket.report(0, level, 0.1) for level in (17, 18, 19)] == [CONTINUE, STOP, STOP]


def test_without_a_rung_a_trial_runs_to_the_end():
    bracket = make(1, levels=())
    assert bracket.first_milestone == 9
    assert [bracket.report(0, level, 0.1) for level in (8, 9)] == [CONTINUE, STOP]


def test_a_trial_that_skips_a_rung_waits_at_the_highest_one_passed():
    bracket = make(2)
    assert [bracket.report(trial_id, 4, 0.1 * trial_id) for trial_id in (0, 1)] == [PAUSE, PAUSE]
    assert all(len(rung) == 2 for rung in bracket.ladder.rungs)
    assert bracket.promote() == (0, 9)


def test_the_best_third_is_promoted_best_first():
    bracket = make(4)
    arrive(bracket, [0.4, 0.1, 0.3, 0.2])
    # The quantile of order 1/3 of four values is the second.
    assert [bracket.promote() for _ in range(3)] == [(1, 3), (3, 3), None]


def test_the_highest_rung_that_has_a_promotable_trial_comes_first():
    bracket = make(6)
    arrive(bracket, [0.5, 0.6], level=3)
    for trial_id, value in ((2, 0.1), (3, 0.2)):
        bracket.report(trial_id, 1, value)
    assert [bracket.promote() for _ in range(3)] == [(0, 9), (2, 3), (3, 3)]


def test_the_order_of_the_quantile_is_the_level_over_the_next_one():
    bracket = make(5, levels=(1, 2), max_t=8)
    arrive(bracket, [0.1, 0.2, 0.3, 0.4, 0.5])
    assert [bracket.promote() for _ in range(4)] == [(0, 2), (1, 2), (2, 2), None]  # one in two
    for trial_id in range(3):
        assert bracket.report(trial_id, 2, 0.1 * trial_id) == PAUSE
    assert [bracket.promote() for _ in range(2)] == [(0, 8), None]  # one in four: the first of three


@pytest.mark.parametrize(
    ("values", "paused", "promotable"),
    [
        ([0.1], [0], None), ([0.1, 0.2], [0, 1], 0), ([0.1, 0.2], [1], None), ([0.2, 0.1], [], None),
        ([math.inf, math.inf], [0, 1], None), ([0.2, 0.1, 0.3], [0, 2], 0), ([0.1, 0.1], [1], 1),
    ],
)  # fmt: skip
def test_a_promotable_trial_is_the_best_paused_one_within_the_quantile(values, paused, promotable):
    rung = Rung(1)
    for trial_id, value in enumerate(values):
        rung.record(trial_id, value)
    for trial_id in paused:
        rung.pause(trial_id)
    assert promotable_trial(rung, 0.5) == promotable


def test_in_advance_only_a_trial_that_may_become_promotable_goes_on():
    bracket = make(3)
    arrive(bracket, [0.1, 0.2, math.inf])
    assert bracket.promote() == (0, 3)
    assert bracket.promote_in_advance() is None, "nobody is yet to come to the rung"
    for trial_id in (3, 4):
        bracket.add(trial_id)
    # Of five at the rung one in three of the other four may be better.
    assert bracket.promote_in_advance() == (1, 3)
    assert bracket.promote_in_advance() is None


def test_without_hope_the_best_finite_trial_goes_on():
    bracket = make(4)
    arrive(bracket, [0.1, math.inf, 0.3, 0.2])
    assert bracket.promote() == (0, 3)
    assert [bracket.promote_in_advance(hopeless=True) for _ in range(3)] == [(3, 3), (2, 3), None]


@pytest.mark.parametrize(("below", "promoted"), [(0.05, (1, 9)), (math.inf, None)])
def test_who_may_be_promoted_from_below_is_yet_to_come(below, promoted):
    bracket = make(2)
    arrive(bracket, [0.1, 0.2], level=3)
    assert bracket.promote() == (0, 9)
    for trial_id in (2, 3):
        bracket.add(trial_id)
    assert bracket.report(2, 1, below) == PAUSE
    # Trial 1 is the second at its rung: two more have to come there. One runs, the other one waits below.
    assert bracket.promote_in_advance() == promoted


def test_a_lone_trial_is_the_best():
    bracket = make(1)
    arrive(bracket, [0.3])
    assert bracket.promote() is None
    assert bracket.promote_in_advance() == (0, 3)
    bracket = make(1)
    arrive(bracket, [math.inf])
    assert bracket.promote_in_advance() is None


def test_where_nothing_is_resumed_a_trial_goes_on_or_is_stopped():
    bracket = make(4)
    bracket.stop_resuming()
    assert bracket.report(0, 1, 0.2) == CONTINUE
    assert bracket.report(1, 1, 0.3) == CONTINUE, "three others may yet be worse"
    assert bracket.report(2, 1, 0.4) == STOP
    assert bracket.report(3, 1, math.inf) == STOP
    assert [bracket.is_running(trial_id) for trial_id in range(4)] == [True, True, False, False]
    assert [bracket.report(0, level, 0.2) for level in (2, 3, 8, 9)] == [CONTINUE, CONTINUE, CONTINUE, STOP]


def test_rounding_costs_no_trial_its_rank():
    assert 1 / 49 * 49 < 1
    bracket = make(50, levels=(1,), max_t=49)
    bracket.stop_resuming()
    for trial_id in range(50):
        verdict = bracket.report(trial_id, 1, 0.0 if trial_id == 0 else 1 + 1 / (1 + trial_id))
    assert verdict == CONTINUE, "one of 49 others is better"


def test_a_trial_that_has_ended_is_not_promoted_and_its_value_counts():
    bracket = make(4)
    arrive(bracket, [0.1, 0.2, 0.3])
    bracket.end(0)
    bracket.end(3)
    assert bracket.report(0, 1, 0.0) == bracket.report(3, 1, 0.0) == STOP
    assert len(bracket.ladder.rungs[0]) == 3
    assert bracket.promote() is None, "0.2 is not among the best third"
    assert bracket.promote_in_advance() is None
