from __future__ import annotations

import math

import pytest

from syne_hypersched.blackboxes import load_digits
from syne_hypersched.experiments import Report, Run, load_run
from syne_hypersched.replay import run_curves
from syne_hypersched.replay._curves import measured_speed_up


def reports_of(trial_id, levels, num_devices=1, seconds=1.0, launch=0, worker_s=0.0, value=None):
    return [
        Report(
            trial_id=trial_id,
            time_s=10.0 * trial_id + level,
            resource=level,
            value=1.0 / level if value is None else value,
            num_devices=num_devices,
            launch=launch,
            worker_time_s=worker_s + seconds * (index + 1),
        )
        for index, level in enumerate(levels)
    ]


def make_run(*reports, **members):
    return Run(metric="loss", do_minimize=True, time_attr="epoch", reports=tuple(reports), **members)


def test_the_curves_of_a_simulated_run_are_those_of_the_table(asha_run):
    run, table = load_run(asha_run), load_digits()
    known = run_curves(run)
    assert known.num_devices == 4
    assert {curve.trial_id for curve in known.curves} == {report.trial_id for report in run.reports}
    for curve in known.curves:
        truth = table.learning_curve(run.configs[curve.trial_id])
        length = len(curve.levels)
        assert curve.levels == tuple(report["epoch"] for report in truth.reports[:length])
        assert curve.values == pytest.approx([report["val_accuracy"] for report in truth.reports[:length]])
        # What the first epoch took is not reported: it is the median of the others.
        assert curve.seconds[1:] == pytest.approx(truth.epoch_s[1:length], rel=1e-3, abs=2e-3)
        assert curve.is_whole == (curve.last_level == 81)
    assert 0 < known.num_censored < len(known.curves)


def test_epochs_on_several_devices_count_as_on_one():
    run = make_run(
        *reports_of(0, [1, 2, 3, 4], seconds=2.0),
        *reports_of(0, [5, 6, 7], num_devices=2, seconds=1.25, launch=1, worker_s=8.0),
        *reports_of(1, [1, 2, 3], seconds=3.0),
    )
    known = run_curves(run, num_devices=2)
    assert known.speed_up == {1: 1.0, 2: pytest.approx(1.6)}
    assert known.curves[0].seconds == pytest.approx([2.0] * 7)
    assert known.curves[1].seconds == pytest.approx([3.0] * 3)


def test_speed_ups_are_medians_over_trials():
    rates = {(0, 1): [2.0], (0, 4): [1.0], (1, 1): [4.0], (1, 4): [1.0], (2, 1): [3.0], (2, 4): [1.0], (3, 2): [1.0]}
    assert measured_speed_up(rates) == {1: 1.0, 4: 3.0}
    assert measured_speed_up({(0, 2): [1.0]}) == {1: 1.0}


def test_a_level_that_is_reported_again_counts_once():
    run = make_run(*reports_of(0, [1, 2, 3]), *reports_of(0, [3, 4], launch=1, worker_s=3.0, value=9.0))
    (curve,) = run_curves(run, num_devices=1).curves
    assert curve.levels == (1, 2, 3, 4)
    assert curve.values[2] == pytest.approx(1 / 3)


def test_values_that_are_not_finite_are_kept_as_unknown():
    run = make_run(*reports_of(0, [1, 2]), *reports_of(1, [1], value=math.inf), *reports_of(2, [1], value=math.nan))
    known = run_curves(run, num_devices=1)
    assert [math.isnan(curve.values[0]) for curve in known.curves] == [False, True, True]
    assert known.best_trial == 0


@pytest.mark.parametrize(
    "run, message",
    [
        (make_run(), "finite 'loss'"),
        (make_run(*reports_of(0, [1, 2], value=math.nan)), "finite 'loss'"),
        (make_run(Report(0, 1.0, 1.0, 0.5), Report(0, 2.0, 2.0, 0.4)), "st_worker_time"),
    ],
)
def test_a_run_without_what_is_needed_is_refused(run, message):
    with pytest.raises(ValueError, match=message):
        run_curves(run, num_devices=2)


def test_the_number_of_devices_must_be_known():
    with pytest.raises(ValueError, match="--num-devices"):
        run_curves(make_run(*reports_of(0, [1, 2])))
