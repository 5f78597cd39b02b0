from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched.comparison.referee import judge
from tests.thoroughness import examples


def study(random_state, shape, rivals, tables, seeds, noise, gain=0.0):
    """Differences from several rivals with a known mean; they share the candidate."""

    def schedulers():
        effects = random_state.standard_normal((shape[0], 1)), random_state.standard_normal((1, shape[1]))
        return tables * effects[0] + seeds * effects[1] + noise * random_state.standard_normal(shape)

    candidate = schedulers()
    return [gain + schedulers() - candidate for _ in range(rivals)]


#: Tables and seeds, rivals, deviations of the tables' effects, of the seeds' and of the rest.
STUDIES = [
    pytest.param((7, 12), 1, 1.0, 0.0, 1.0, marks=pytest.mark.slow),
    pytest.param((7, 12), 1, 0.0, 0.0, 1.0, marks=pytest.mark.slow),
    ((7, 12), 1, 1.0, 1.0, 1.0),
    ((7, 8), 20, 0.5, 0.2, 1.0),
    ((14, 8), 10, 0.5, 0.2, 1.0),
    ((1, 8), 3, 0.0, 0.0, 1.0),
]


@pytest.mark.parametrize(("shape", "rivals", "tables", "seeds", "noise"), STUDIES)
def test_wrong_verdicts_are_as_rare_as_the_level_says_and_intervals_cover_the_truth(
    shape, rivals, tables, seeds, noise
):
    random_state, number = np.random.RandomState(3), 150
    wrong = covered = 0
    for _ in range(number):
        judged = judge(study(random_state, shape, rivals, tables, seeds, noise, gain=0.0), num_resamples=300)
        wrong += any(judgement.verdict != "level" for judgement in judged)
        covered += sum(judgement.low <= 0 <= judgement.high for judgement in judged)
    # Three standard deviations of a share of 5 % in 150 studies are 5 %.
    assert wrong / number <= 0.10
    assert covered / (number * rivals) >= 0.90


def test_a_true_difference_is_found_and_has_its_sign():
    random_state = np.random.RandomState(0)
    verdicts = [judge(study(random_state, (7, 12), 10, 0.3, 0.1, 1.0, gain), num_resamples=300) for gain in (2, -2)]
    assert [judgement.verdict for judgement in verdicts[0]].count("ahead") >= 9
    assert [judgement.verdict for judgement in verdicts[1]].count("behind") >= 9


def test_a_correction_for_many_comparisons_takes_place():
    """Of a hundred rivals without a difference some have p < 0.05 alone, and none after the correction."""
    random_state = np.random.RandomState(1)
    judged = judge([random_state.standard_normal((7, 10)) for _ in range(100)], num_resamples=1000)
    assert sum(judgement.p_value < 0.05 for judgement in judged) >= 2
    assert all(judgement.verdict == "level" for judgement in judged)
    assert all(judgement.adjusted_p_value >= judgement.p_value for judgement in judged)


def test_a_lead_on_some_seeds_of_one_table_is_no_lead_on_tables():
    """Many seeds make a table certain, and say nothing of other tables."""
    difference = np.random.RandomState(0).normal(0, 0.01, size=(4, 50)) + np.array([[3.0], [-0.1], [0.1], [0.0]])
    assert judge([difference])[0].verdict == "level"
    assert judge([difference[:1]])[0].verdict == "ahead"


def test_seeds_are_not_independent_where_tables_share_their_configurations():
    """Ten tables that repeat one another are no more evidence than one."""
    of_seeds = np.random.RandomState(2).normal(0.35, 1, size=(1, 12))
    alike = np.repeat(of_seeds, 10, axis=0)
    one, ten = judge([of_seeds])[0], judge([alike])[0]
    assert ten.high - ten.low == pytest.approx(one.high - one.low, rel=0.15)
    assert (one.verdict, ten.verdict) == ("level", "level")


@given(st.integers(0, 2**20), st.sampled_from([(1, 3), (3, 2), (5, 4)]), st.integers(1, 4))
@settings(max_examples=examples(25), deadline=None)
def test_the_reversed_comparison_has_the_reversed_gain_and_never_the_same_winner(seed, shape, number):
    differences = [np.random.RandomState(seed + i).standard_cauchy(shape) for i in range(number)]
    judged, reverse = judge(differences, num_resamples=200), judge([-d for d in differences], num_resamples=200)
    assert judged == judge(differences, num_resamples=200)
    for here, there in zip(judged, reverse, strict=True):
        assert here.gain == -there.gain
        assert {here.verdict, there.verdict} in (
            {"ahead", "behind"},
            {"ahead", "level"},
            {"level", "behind"},
            {"level"},
        )
        assert here.verdict != "ahead" or here.gain > 0
        assert here.low <= here.gain <= here.high
        assert here.p_value <= here.adjusted_p_value


def test_equal_schedulers_are_level_and_a_constant_lead_is_one():
    nothing, constant = judge([np.zeros((3, 4)), np.full((3, 4), 0.25)])
    assert (nothing.verdict, nothing.p_value, nothing.low, nothing.high) == ("level", 1.0, 0.0, 0.0)
    assert constant.verdict == "ahead"
    assert judge([]) == []


def test_many_samples_are_drawn_in_parts(monkeypatch):
    differences = [np.random.RandomState(number).standard_normal((1, 5)) for number in range(3)]
    whole = judge(differences, num_resamples=600)
    monkeypatch.setattr("syne_hypersched.comparison.referee._CHUNK", 250)
    parts = judge(differences, num_resamples=600)
    assert [judgement.adjusted_p_value for judgement in parts] == pytest.approx(
        [judgement.adjusted_p_value for judgement in whole]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"differences": [np.zeros((3, 1))]}, "at least 2 seeds"),
        ({"differences": [np.zeros((3, 2)), np.zeros((2, 2))]}, r"one shape.*\(2, 2\), \(3, 2\)"),
        ({"differences": [np.zeros(3)]}, "one shape"),
        ({"differences": [np.array([[0.0, math.nan]])]}, "finite"),
        ({"differences": [np.zeros((1, 2))], "level": 0}, "level must be between 0 and 1, but got 0"),
        ({"differences": [np.zeros((1, 2))], "num_resamples": 10}, "num_resamples"),
        ({"differences": [np.zeros((1, 2))], "random_seed": -1}, "random_seed"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        judge(**arguments)
