from __future__ import annotations

import math

import pytest

from syne_hypersched.experiments._run import Report
from syne_hypersched.experiments.page._views import (
    MOST_POINTS,
    LaunchView,
    TrialView,
    finite,
    plain,
    short,
    stretches,
    thinned,
)


def reported(values, do_minimize=True) -> TrialView:
    view = TrialView(3)
    for epoch, value in enumerate(values, 1):
        view.add(Report(3, 10.0 * epoch, epoch, value, launch=0, worker_time_s=9.0 * epoch), 10.0 * epoch, do_minimize)
    return view


@pytest.mark.parametrize(("do_minimize", "best"), [(True, (0.2, 2, 20.0)), (False, (0.9, 5, 50.0))])
def test_the_best_report_of_a_trial(do_minimize, best):
    view = reported([math.nan, 0.2, 0.5, math.inf, 0.9, 0.2, 0.9], do_minimize)
    assert view.best == best, "the first one of equal ones"
    assert (view.last, view.resource, view.num_reports) == (0.9, 7, 7)
    assert reported([math.nan]).best is None
    assert reported([math.nan]).last is None


def test_the_level_never_falls():
    view = TrialView(0)
    for level in (3, 1):
        view.add(Report(0, 1.0, level, 0.5), 1.0, True)
    assert view.resource == 3


@pytest.mark.parametrize("count", [1, MOST_POINTS, MOST_POINTS + 1, 500, 5000])
def test_a_long_curve_keeps_its_ends_and_is_even(count):
    view = reported([float(index) for index in range(count)])
    levels = [point[2] for point in view.points]
    assert (levels[0], levels[-1]) == (1, count)
    assert min(count, MOST_POINTS // 2) <= len(levels) <= MOST_POINTS
    assert levels[:-1] == list(range(1, levels[-2] + 1, levels[1] - levels[0]) if len(levels) > 1 else [])
    assert view.points[0] == (10.0, 9.0, 1, 0.0, 0)


def test_a_trial_as_values_of_json():
    view = reported([0.123456789, math.nan])
    view.num_devices, view.max_devices, view.num_launches, view.cost_s = 2, 4, 1, 1.5
    view.config = {"lr": 0.1, "act": "relu"}
    assert view.to_json(["act", "lr", "none"]) == {
        "id": 3, "status": "in progress", "best": [0.123457, 1, 10.0], "last": None, "resource": 2, "devices": 2,
        "most": 4, "launches": 1, "cost": 1.5, "config": ["relu", 0.1, None],
        "points": [[10.0, 9.0, 1, 0.123457, 0], [20.0, 18.0, 2, None, 0]],
    }  # fmt: skip
    assert TrialView(0).to_json([])["launches"] is None


def test_a_launch_in_the_order_of_the_page():
    view = LaunchView(1, 2, [3, 0, 1], 1.23456, 0.5, 2.0, None, 9.99999, "drained", "resize", "why", math.nan, 4)
    assert view.to_json() == [
        1, 2, [[0, 1], [3, 3]], 1.235, 0.5, 2.0, None, 10.0, "drained", "resize", "why", None, 4,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("count", "most", "kept"), [(3, 3, [0, 1, 2]), (5, 3, [0, 2, 4]), (10, 4, [0, 3, 6, 9]), (10, 2, [0, 9])]
)
def test_points_are_thinned_evenly_with_both_ends(count, most, kept):
    assert thinned(list(range(count)), most) == kept


@pytest.mark.parametrize(
    ("indices", "pairs"),
    [([], []), ([4], [[4, 4]]), ([2, 1, 0], [[0, 2]]), ([0, 2, 3, 5], [[0, 0], [2, 3], [5, 5]])],
)
def test_neighbouring_devices_are_one_stretch(indices, pairs):
    assert stretches(indices) == pairs


@pytest.mark.parametrize(("value", "kept"), [(None, None), (math.nan, None), (-math.inf, None), (0.0, 0.0), (1.5, 1.5)])
def test_what_is_not_finite_is_none(value, kept):
    assert finite(value) == short(value) == kept


def test_numbers_are_short():
    assert short(1 / 3) == 0.333333
    assert short(123456789) == 123456789
    assert short(1234567.89) == 1234570.0


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None), (True, True), (3, 3), ("a", "a"), (2**53, str(2**53)), (-(2**53), str(-(2**53))),
        (2**53 - 1, 2**53 - 1), (1 / 3, 0.333333), (math.inf, "inf"), ([1], "[1]"),
    ],
)  # fmt: skip
def test_values_of_a_configuration(value, shown):
    assert plain(value) == shown
