from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.replay import KnownCurve
from syne_hypersched.replay._extend import extended


def curve(trial_id, values, is_whole=False, levels=None):
    levels = tuple(levels or range(1, len(values) + 1))
    return KnownCurve(trial_id, levels, tuple(values), tuple(1.0 for _ in values), is_whole)


def test_a_censored_curve_is_flat_or_gains_what_the_best_gained():
    curves = [curve(0, [1.0, 0.8, 0.5, 0.2], is_whole=True), curve(1, [0.9, 0.7]), curve(2, [2.0, 1.9, 1.8, 1.9])]
    flat = extended(curves, True, "flat")
    assert flat[1] == ([1, 2, 3, 4], pytest.approx([0.9, 0.7, 0.7, 0.7]), [1.0] * 4)
    hopeful = extended(curves, True, "hopeful")
    assert hopeful[1][1] == pytest.approx([0.9, 0.7, 0.4, 0.1])  # trial 0 gained 0.3 and 0.6 from level 2 on
    for other in (0, 2):
        assert flat[other][1] == hopeful[other][1] == list(curves[other].values)


def test_maximising_is_minimising_with_the_other_sign():
    values = [[0.1, 0.5, 0.9], [0.2, 0.3]]
    up = extended([curve(i, v) for i, v in enumerate(values)], False, "hopeful")
    down = extended([curve(i, [-x for x in v]) for i, v in enumerate(values)], True, "hopeful")
    assert up[1][1] == pytest.approx([-value for value in down[1][1]])


def test_nothing_is_supposed_beyond_the_longest_curve_nor_of_a_whole_one():
    found = extended([curve(0, [1.0, 0.9], is_whole=True), curve(1, [1.0, 0.5, 0.4])], True, "hopeful")
    assert found[0][0] == [1, 2]
    assert found[1][0] == [1, 2, 3]


def test_levels_need_not_be_the_same():
    found = extended([curve(0, [1.0, 0.5], levels=[2, 5]), curve(1, [1.0], levels=[3])], True, "flat")
    assert found[1][0] == [3, 5]
    assert found[1][2] == pytest.approx([1.0, 2 / 3])


def test_time_as_the_resource_has_a_level_for_each_report_and_costs_no_more():
    curves = [
        curve(i, [1.0 - 0.01 * j for j in range(1, 41)], levels=[j + i / 1000 for j in range(1, 41)]) for i in range(99)
    ]
    curves.append(curve(99, [0.5], levels=[1.5]))
    levels, values, _ = extended(curves, True, "hopeful")[99]
    assert 2 < len(levels) <= 1_001
    assert levels[-1] == max(each.last_level for each in curves)
    assert values[-1] == pytest.approx(0.5 - 0.39)


_VALUES = st.lists(st.floats(-10, 10) | st.just(math.nan), min_size=1, max_size=6)


@given(st.lists(_VALUES, min_size=1, max_size=5), st.booleans())
def test_what_is_known_stays_and_hope_is_never_worse(values, do_minimize):
    curves = [curve(i, v) for i, v in enumerate(values)]
    flat, hopeful = (extended(curves, do_minimize, supposition) for supposition in ("flat", "hopeful"))
    for known in curves:
        length = len(known.levels)
        for found in (flat, hopeful):
            levels, extended_values, seconds = found[known.trial_id]
            assert extended_values[:length] == pytest.approx(list(known.values), nan_ok=True)
            assert all(second > 0 for second in seconds)
            assert levels == sorted(set(levels))
        for low, high in zip(flat[known.trial_id][1][length:], hopeful[known.trial_id][1][length:], strict=True):
            assert math.isnan(low) or (high <= low if do_minimize else high >= low)
