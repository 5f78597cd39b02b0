from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched.comparison.statistics import mean_interval, paired_difference, t_half_width
from tests.thoroughness import examples

values = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40)


@given(values, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
@settings(max_examples=examples(60))
def test_intervals_are_those_of_scipy(numbers, level):
    from scipy import stats

    interval = mean_interval(numbers, level)
    assert interval.mean == pytest.approx(np.mean(numbers))
    assert interval.num_values == len(numbers)
    if np.ptp(numbers) > 1e-6:
        low, high = stats.t.interval(level, len(numbers) - 1, loc=np.mean(numbers), scale=stats.sem(numbers))
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-6)


def test_the_interval_covers_the_mean_as_often_as_it_says():
    samples = np.random.default_rng(0).normal(size=(4000, 6))
    half_widths = t_half_width(samples.std(axis=1, ddof=1), 6)
    covered = np.abs(samples.mean(axis=1)) <= half_widths
    assert covered.mean() == pytest.approx(0.95, abs=0.012)


def test_missing_values_are_left_out_and_one_value_has_no_interval():
    assert mean_interval([1.0, math.nan, 3.0]).mean == 2.0
    assert mean_interval([1.0, math.nan, 3.0]).num_values == 2
    one = mean_interval([5.0])
    assert one.mean == 5.0
    assert math.isnan(one.half_width)
    none = mean_interval([math.nan])
    assert math.isnan(none.mean)
    assert none.num_values == 0


def test_the_level_is_checked():
    with pytest.raises(ValueError, match=r"level must be between 0 and 1, but got 1\.0"):
        mean_interval([1.0, 2.0], 1.0)


@given(
    values.flatmap(
        lambda first: st.tuples(
            st.just(first), st.lists(st.floats(-1e6, 1e6), min_size=len(first), max_size=len(first))
        )
    )
)
@settings(max_examples=examples(60))
def test_paired_differences_are_those_of_a_paired_t_test(pair):
    from scipy import stats

    first, second = map(np.array, pair)
    difference = paired_difference(first, second, do_minimize=False)
    assert difference.wins + difference.ties + difference.losses == len(first)
    gains = first - second
    assert difference.gain.mean == pytest.approx(gains.mean())
    if np.ptp(gains) > 1e-6:
        with np.errstate(over="ignore"):  # SciPy divides by the mean to warn of one that is nearly 0
            expected = stats.ttest_rel(first, second).confidence_interval()
        assert (difference.gain.low, difference.gain.high) == pytest.approx(tuple(expected), abs=1e-6)
    swapped = paired_difference(second, first, do_minimize=False)
    assert (swapped.wins, swapped.losses) == (difference.losses, difference.wins)


def test_less_is_a_gain_where_the_metric_is_minimised():
    difference = paired_difference([0.1, 0.2, 0.3], [0.2, 0.2, 0.2], do_minimize=True)
    assert (difference.wins, difference.ties, difference.losses) == (1, 1, 1)
    assert paired_difference([0.1], [0.2], do_minimize=True).gain.mean == pytest.approx(0.1)


def test_pairs_with_a_missing_value_count_for_nothing():
    difference = paired_difference([1.0, math.nan, 3.0], [0.0, 0.0, math.nan], do_minimize=False)
    assert (difference.wins, difference.ties, difference.losses) == (1, 0, 0)
    assert difference.gain.num_values == 1


def test_values_without_partners_are_refused():
    with pytest.raises(ValueError, match="one length, but got 1 and 2"):
        paired_difference([1.0], [1.0, 2.0], do_minimize=True)
