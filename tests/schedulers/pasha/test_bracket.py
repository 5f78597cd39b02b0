from __future__ import annotations

import math
import random

import pytest

from syne_hypersched.schedulers.asha import CONTINUE, PAUSE, STOP
from syne_hypersched.schedulers.pasha._bracket import ProgressiveBracket
from syne_hypersched.schedulers.pasha._criteria import criterion_factory


def make(num_trials: int = 0, levels=(1, 3, 9), max_t=27, criterion="direct", **options) -> ProgressiveBracket:
    is_automatic = criterion == "soft_ranking_auto"
    bracket = ProgressiveBracket(levels, max_t, criterion_factory(criterion, options), is_automatic)
    for trial_id in range(num_trials):
        bracket.add(trial_id)
    return bracket


def reach_the_second_rung(bracket: ProgressiveBracket, values: list[float]) -> None:
    """Trials with these values at the first rung are promoted."""
    for trial_id, value in enumerate(values):
        assert bracket.report(trial_id, 1, value) == PAUSE
    for _ in values:
        assert bracket.promote_in_advance(hopeless=True) is not None


def test_the_cap_starts_at_the_second_rung_and_with_one_rung_at_the_end():
    assert make().cap == 3
    assert make(levels=(1, 3)).cap == 3
    assert make(levels=(1,)).cap == make(levels=()).cap == 27
    assert make().epsilon is None
    assert make(criterion="soft_ranking", epsilon=0.25).epsilon == 0.25


def test_the_cap_moves_when_trials_have_changed_places_and_only_then():
    bracket = make(3)
    reach_the_second_rung(bracket, [0.1, 0.2, 0.3])
    assert bracket.report(0, 3, 0.5) == PAUSE
    assert bracket.report(2, 3, 0.6) == PAUSE
    assert bracket.cap == 3
    assert bracket.report(1, 3, 0.4) == PAUSE
    assert bracket.cap == 9


def test_the_cap_moves_a_rung_at_a_time_and_from_the_last_one_to_the_end():
    bracket = make(2)
    reach_the_second_rung(bracket, [0.1, 0.2])
    # Trial 0 has passed the third rung before it is compared: it is entered when the cap gets there.
    assert bracket.report(0, 9, 0.5) == PAUSE
    assert bracket.cap == 3
    assert bracket.report(1, 3, 0.4) == PAUSE
    assert bracket.cap == 9
    assert bracket.promote() == (1, 9)
    assert bracket.report(1, 8, 0.9) == CONTINUE
    assert bracket.cap == 9
    assert bracket.report(1, 9, 0.9) == PAUSE
    assert bracket.cap == 27


def test_a_ranking_that_is_equal_within_epsilon_moves_nothing():
    bracket = make(2, criterion="soft_ranking", epsilon=0.15)
    reach_the_second_rung(bracket, [0.1, 0.2])
    assert bracket.report(0, 3, 0.5) == bracket.report(1, 3, 0.4) == PAUSE
    assert bracket.cap == 3


def test_nothing_is_promoted_from_the_cap():
    bracket = make(4)
    reach_the_second_rung(bracket, [0.1, 0.2])
    for trial_id, value in enumerate((0.1, 0.2)):
        assert bracket.report(trial_id, 3, value) == PAUSE
    assert bracket.promote() is None
    for trial_id, value in ((2, 0.3), (3, 0.4)):
        assert bracket.report(trial_id, 1, value) == PAUSE
    assert bracket.promote() is None, "the best at the first rung are at the second one already"


def test_in_advance_only_the_best_goes_on_from_the_cap_and_not_when_it_would_run_alone():
    bracket = make(3)
    reach_the_second_rung(bracket, [0.1, 0.2])
    for trial_id, value in enumerate((0.1, 0.2)):
        assert bracket.report(trial_id, 3, value) == PAUSE
    assert bracket.promote_in_advance() == (0, 9), "trial 2 runs"
    assert bracket.promote_in_advance() is None, "0.2 is not the best"
    assert bracket.report(2, 1, math.inf) == PAUSE
    bracket = make(1)
    reach_the_second_rung(bracket, [0.1])
    assert bracket.report(0, 3, math.inf) == PAUSE
    bracket.add(1)
    assert bracket.promote_in_advance() is None, "it is not finite"
    bracket = make(1)
    reach_the_second_rung(bracket, [0.1])
    assert bracket.report(0, 3, 0.1) == PAUSE
    assert bracket.promote_in_advance() is None, "it would run alone"


def test_where_nothing_is_resumed_the_best_goes_on_beyond_the_cap_even_alone():
    bracket = make(2)
    bracket.stop_resuming()
    assert bracket.report(0, 3, 0.1) == CONTINUE
    assert bracket.report(1, 3, 0.2) == STOP
    assert [bracket.report(0, level, 0.1) for level in (8, 9)] == [CONTINUE, CONTINUE]


def test_a_trial_whose_arrival_moves_the_cap_may_go_on():
    verdicts = {}
    for first in (0.2, 0.05):
        bracket = make(4)
        for trial_id, value in enumerate((first, 0.1)):
            assert bracket.report(trial_id, 1, value) == PAUSE
        for _ in range(2):
            assert bracket.promote_in_advance(hopeless=True) is not None
        bracket.stop_resuming()
        assert bracket.report(0, 3, 0.4) == CONTINUE
        # The second of two. Where the two have changed places, one in three of four may be better: two are to come.
        verdicts[first] = (bracket.report(1, 3, 0.5), bracket.cap)
    assert verdicts == {0.2: (CONTINUE, 9), 0.05: (STOP, 3)}


def test_reports_of_a_trial_that_is_not_running_change_nothing():
    bracket = make(2)
    reach_the_second_rung(bracket, [0.1, 0.2])
    assert bracket.report(0, 3, 0.5) == PAUSE
    assert bracket.report(0, 3, 0.0) == PAUSE
    bracket.end(1)
    assert bracket.report(1, 3, 0.4) == STOP
    assert bracket.cap == 3
    assert len(bracket.ladder.rungs[1]) == 1


def test_epsilon_is_learnt_from_curves_that_cross_twice_and_kept_when_the_cap_moves():
    bracket = make(2, levels=(1, 4, 16), max_t=64, criterion="soft_ranking_auto")
    reach_the_second_rung(bracket, [0.1, 0.9])
    assert bracket.epsilon == 0
    for level, values in ((2, (0.8, 0.5)), (3, (0.4, 0.6))):
        for trial_id, value in enumerate(values):
            assert bracket.report(trial_id, level, value) == CONTINUE
    assert bracket.epsilon == pytest.approx(0.2)
    assert bracket.report(0, 3, 0.0) == CONTINUE, "the second report for a level changes nothing"
    assert bracket.epsilon == pytest.approx(0.2)
    # At the first rung they are further apart than epsilon.
    assert bracket.report(0, 4, 0.65) == bracket.report(1, 4, 0.5) == PAUSE
    assert bracket.cap == 16
    assert bracket.epsilon == pytest.approx(0.15)


def test_a_trial_ends_at_the_end_even_where_nothing_is_resumed():
    bracket = make(2)
    reach_the_second_rung(bracket, [0.1, 0.2])
    bracket.stop_resuming()
    assert bracket.report(0, 3, 0.4) == CONTINUE
    assert bracket.report(0, 9, 0.1) == CONTINUE
    assert bracket.report(0, 27, 0.1) == STOP
    assert not bracket.is_running(0)


@pytest.mark.parametrize(("first", "cap"), [(1, 3), (2, 3), (3, 9), (8, 9), (9, 27)])
def test_rungs_that_the_first_report_has_passed_together_count_as_one(first, cap):
    bracket = make(2)
    assert bracket.report(0, first, 0.1) == PAUSE
    assert bracket.cap == cap
    assert bracket.report(1, first, 0.2) == PAUSE
    assert bracket.cap == cap


@pytest.mark.parametrize(
    ("levels", "max_t", "caps"),
    [
        (range(1000, 10_000, 1000), 9000, [2187, 6561, 9000]),
        (range(5, 14), 13, [9, 13]),
        # Only the first level is below the second rung.
        ([1, *range(2000, 10_000, 1000)], 9000, [3, 9, 2187, 6561, 9000]),
        (range(1, 28), 27, [3, 9, 27]),
    ],
)
def test_the_cap_gets_to_the_end_whatever_the_levels_are(levels, max_t, caps):
    """Values are random, so that trials change places, and the cap moves wherever reports tell the rungs apart."""
    bracket = make(levels=[3**i for i in range(9) if 3**i < max_t], max_t=max_t)
    seen, reached, values = [], {}, random.Random(0)
    for _ in range(600):
        promoted = bracket.promote()
        trial_id = len(reached) if promoted is None else promoted[0]
        if promoted is None:
            bracket.add(trial_id)
            reached[trial_id] = 0
        verdict = CONTINUE
        while verdict == CONTINUE:
            level = levels[reached[trial_id]]
            reached[trial_id] += 1
            verdict = bracket.report(trial_id, level, values.random())
            if bracket.cap not in seen:
                seen.append(bracket.cap)
    assert [cap for cap in seen if cap >= caps[0]] == caps


def test_one_trial_that_skips_a_report_merges_nothing():
    bracket = make(2)
    assert bracket.report(0, 1, 0.1) == PAUSE
    assert bracket.report(1, 4, 0.2) == PAUSE
    assert bracket.cap == 3


def test_a_trial_that_is_at_the_end_at_once_merges_nothing():
    bracket = make(2)
    assert bracket.report(0, 27, 0.1) == STOP
    assert bracket.cap == 3
