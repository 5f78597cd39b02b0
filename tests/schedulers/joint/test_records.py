from __future__ import annotations

import math

import numpy as np
import pytest

from syne_hypersched.schedulers.joint._records import Records


def records(curves, max_t=16.0, ended=()):
    """Records of trials that have reported these values at the levels 1, 2, 3..., larger is better."""
    found = Records(max_t)
    for trial_id, values in curves.items():
        record = found.add(trial_id, np.array([float(trial_id)]))
        for level, value in enumerate(values, start=1):
            found.report(record, level, value)
        record.ended = trial_id in ended
    return found


def test_a_trial_counts_from_twice_the_first_level_on_or_when_it_has_ended():
    found = records({0: [1], 1: [1, 2], 2: [3], 3: [1, 2, 3, 5]}, ended=(2,))
    assert [found.counts(found.of(trial_id)) for trial_id in range(4)] == [False, True, True, True]


def test_the_first_level_may_be_any():
    found = Records(48.0)
    for trial_id, levels in enumerate([(3, 6, 9), (3, 6), (3, 5)]):
        record = found.add(trial_id, np.array([float(trial_id)]))
        for level in levels:
            found.report(record, level, level + 0.1 * trial_id)
    assert [found.counts(found.of(trial_id)) for trial_id in range(3)] == [True, True, False]
    assert found.data(10).rows[:, 0].tolist() == [0, 1]


def test_points_are_at_doubling_levels_and_at_the_last_one():
    found = records({0: [0.1, 0.5, 0.4, 0.6, 0.7, 0.2, 0.9], 1: [0, 0.3]})
    data = found.data(10)
    assert data.trials.tolist() == [0, 0, 0, 1]
    # 2 / 2 - 2 / 16, 2 / 4 - 2 / 16, 2 / 7 - 2 / 16 and again the first.
    assert data.lags == pytest.approx([0.875, 0.375, 2 / 7 - 0.125, 0.875])
    values = data.values * np.std([0.9, 0.3]) + 0.6
    assert values == pytest.approx([0.5, 0.6, 0.9, 0.3])


def used_of(record, early):
    """Levels and values of a trial's reports that are used, one after the other."""
    points = [point for point in zip(record.levels, record.values, strict=True) if point[0] >= early]
    if not points or points[-1][0] < record.last:
        points.append((record.last, record.best))
    return points


def test_points_of_many_trials_are_those_of_each():
    state = np.random.RandomState(0)
    for _ in range(20):
        curves = {i: state.normal(size=state.randint(1, 20)).tolist() for i in range(8)}
        found = records(curves, ended=range(8))
        expected = [(i, *point) for i in curves for point in used_of(found.of(i), 2.0)]
        trials, levels, values = found._points([found.of(i) for i in curves], -10.0)
        assert list(zip(trials.tolist(), levels.tolist(), values.tolist(), strict=True)) == expected


def test_the_worst_values_are_cut_off():
    data = records({0: [0, 1.0], 1: [0, 2.0], 2: [0, 3.0], 3: [-1e9, -1e9]}).data(10)
    # The median of the best values is 1.5, the best one is 3.
    assert data.best * np.std([1, 2, 3, 0]) + 1.5 == pytest.approx([1, 2, 3, 0])


def test_diverged_trials_are_as_bad_as_the_worst_that_counts():
    found = records({0: [0, 1.0], 1: [0, 2.0], 2: [5.0]})
    found.of(2).diverged = True
    diverged = found.add(3, np.array([3.0]))
    diverged.diverged = True
    data = found.data(10)
    assert data.best[2] == data.best[3] == data.best.min()
    assert data.lags[data.trials == 3].tolist() == [0.0]


def test_nothing_is_said_before_two_trials_differ():
    assert records({}).data(10) is None
    assert records({0: [1, 2]}).data(10) is None
    assert records({0: [1, 2], 1: [1, 2]}).data(10) is None
    assert records({0: [1, 2], 1: [1, 2.5]}).data(10) is not None


def test_levels_before_training_are_none():
    found = Records(100.0)
    record = found.add(0, np.array([0.0]))
    for level in (-1, 0, 1e-9, 3):
        found.report(record, level, level)
    assert record.levels == [3]


def test_of_many_trials_the_best_and_the_newest_are_taken():
    curves = {trial_id: [0, math.sin(trial_id)] for trial_id in range(100)}
    data = records(curves).data(20)
    best = sorted(range(100), key=lambda trial_id: -math.sin(trial_id))[:10]
    assert set(data.rows[:, 0]) == {float(trial_id) for trial_id in (*best, *range(90, 100))}
    # Standardised by all trials, so that the scale does not depend on the choice.
    assert abs(data.best.mean()) > 0.1


def test_reports_that_come_again_change_nothing():
    found = records({0: [0.1, 0.5], 1: [0, 0.3]})
    before = found.data(10)
    found.report(found.of(0), 1, 0.1)
    found.report(found.of(0), 2, 0.5)
    np.testing.assert_array_equal(found.data(10).values, before.values)


def test_the_maximum_resource_may_be_infinite():
    data = records({0: [0, 1.0], 1: [0, 2.0]}, max_t=math.inf).data(10)
    assert data.lags.tolist() == [1.0, 1.0]


def test_merits_compare_trials_at_the_level_that_they_have_reached():
    """Trials that went on are better by what training brings, and no better in themselves."""
    found = records({0: [0.0, 1.0, 1.0, 2.0], 1: [0.0, 1.1, 1.1, 2.1], 2: [0.0, 1.05], 3: [0.0, 0.0]}, ended=(2, 3))
    merits = found.data(10).merits
    assert np.argsort(-merits).tolist() == [1, 2, 0, 3]
    assert np.argsort(-found.data(10).best).tolist()[:2] == [1, 0]
