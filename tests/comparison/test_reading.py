from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched.comparison.reading import Reading, RegretScale, Reports, device_seconds, read_at, trajectory
from tests.thoroughness import examples


def reports(rows):
    """Rows of trial, time, resource, value, worker time, devices."""
    columns = zip(*rows, strict=True) if rows else [[]] * 6
    return Reports(*(np.array(list(column), dtype=float) for column in columns))


#: Two trials on two devices; trial 0 goes on with two devices after 20 s, and its last report comes at 35 s.
RUN = reports(
    [
        (0, 10, 1, 0.5, 10, 1),
        (1, 12, 1, 0.7, 12, 1),
        (0, 20, 2, 0.8, 20, 1),
        (1, 24, 2, 0.6, 24, 1),
        (0, 35, 3, 0.9, 30, 2),
    ]
)


def test_what_a_run_had_reached_at_a_deadline():
    reading = read_at(RUN, "30s", 30.0, num_devices=2, do_minimize=False)
    assert reading.value == 0.8
    assert reading.best_resource == 2
    assert reading.num_trials == 2
    assert reading.num_reports == 4
    assert reading.utilisation == pytest.approx((20 + 24) / 60)
    assert (reading.length_mean, reading.length_median) == (2, 2)
    assert reading.top_values == (0.8, 0.7)
    assert reading.top_lengths == (2, 2)
    later = read_at(RUN, "40s", 40.0, num_devices=2, do_minimize=False)
    assert later.value == 0.9
    assert later.utilisation == pytest.approx((20 + 24 + 2 * 10) / 80)


def test_a_report_at_the_deadline_counts():
    assert read_at(RUN, "20s", 20.0, 2, do_minimize=False).value == 0.8
    assert read_at(RUN, "19.9s", 19.9, 2, do_minimize=False).value == 0.7


def test_a_metric_that_is_minimised():
    reading = read_at(RUN, "40s", 40.0, 2, do_minimize=True)
    assert reading.value == 0.5
    assert reading.top_values == (0.5, 0.6)


def test_before_the_first_report_and_without_finite_values():
    scale = RegretScale(best=1.0, median=0.5, worst=0.1)
    for run in (RUN.until(5.0), reports([]), reports([(0, 1, 1, math.nan, 1, 1), (0, 2, 2, math.inf, 2, 1)])):
        reading = read_at(run, "5s", 5.0, 2, do_minimize=False, scale=scale)
        assert math.isnan(reading.value)
        assert reading.regret == pytest.approx(1.8)
        assert reading.top_values == ()


def test_regret_is_zero_at_the_best_value_and_one_at_the_median():
    for scale in (RegretScale(0.9, 0.7, 0.1), RegretScale(0.1, 0.3, 0.9)):
        assert math.copysign(1, scale.regret(scale.best)) == 1, "-0 is no regret that anybody wants to read"
        assert scale.regret(scale.best) == 0
        assert scale.regret(scale.median) == 1
        assert scale.regret(math.nan) == scale.regret(scale.worst) > 1
    assert math.isnan(RegretScale(0.9, 0.9, 0.9).regret(0.5))


@pytest.mark.parametrize("deadline_s", [5.0, 30.0])
def test_readings_survive_json(deadline_s):
    reading = read_at(RUN, "30s", deadline_s, 2, do_minimize=False)
    stored = json.loads(json.dumps(reading.as_json(), allow_nan=False))
    assert Reading.from_json(stored).as_json() == reading.as_json()


@given(
    st.lists(st.tuples(st.integers(0, 4), st.floats(0.1, 9), st.sampled_from([0.1, 0.3, 0.7, math.nan])), max_size=30),
    st.floats(1, 100),
    st.booleans(),
)
@settings(max_examples=examples(80))
def test_readings_agree_with_a_plain_count(steps, deadline_s, do_minimize):
    rows, levels, worked, time_s = [], {}, {}, 0.0
    for trial, epoch_s, value in steps:
        time_s += epoch_s
        levels[trial], worked[trial] = levels.get(trial, 0) + 1, worked.get(trial, 0.0) + epoch_s
        rows.append((trial, time_s, levels[trial], value, worked[trial], 1 + trial))
    run = reports(rows)
    seen = [row for row in rows if row[1] <= deadline_s]
    reading = read_at(run, "d", deadline_s, 5, do_minimize)
    assert reading.num_trials == len({row[0] for row in seen})
    finite = [row[3] for row in seen if not math.isnan(row[3])]
    if finite:
        assert reading.value == (min if do_minimize else max)(finite)
        assert reading.top_values[0] == reading.value
    lengths = [max(row[2] for row in seen if row[0] == trial) for trial in {row[0] for row in seen}]
    if lengths:
        assert reading.length_mean == pytest.approx(np.mean(lengths))
        assert reading.length_p10 == pytest.approx(np.percentile(lengths, 10))
        assert reading.length_p90 == pytest.approx(np.percentile(lengths, 90))
    expected = sum((1 + trial) * max(r[4] for r in seen if r[0] == trial) for trial in {r[0] for r in seen})
    assert device_seconds(run.until(deadline_s)) == pytest.approx(expected)


def test_the_best_so_far_has_improvements_only():
    times_s, values = trajectory(RUN, do_minimize=False)
    assert times_s.tolist() == [10, 12, 20, 35]
    assert values.tolist() == [0.5, 0.7, 0.8, 0.9]
    times_s, values = trajectory(RUN, do_minimize=True)
    assert (times_s.tolist(), values.tolist()) == ([10], [0.5])
    assert trajectory(reports([(0, 1, 1, math.nan, 1, 1)]), True)[0].tolist() == []


def test_the_regret_of_noisy_values_is_that_of_the_true_value_of_the_one_that_looks_best():
    noisy = replace(RUN, true_value=np.array([0.5, 0.7, 0.6, 0.65, 0.8]))
    scale = RegretScale(best=1.0, median=0.5, worst=0.1)
    reading = read_at(noisy, "30s", 30.0, 2, do_minimize=False, scale=scale)
    assert (reading.value, reading.regret) == (0.8, pytest.approx(0.8))
    assert read_at(noisy, "5s", 5.0, 2, do_minimize=False, scale=scale).regret == pytest.approx(1.8)
