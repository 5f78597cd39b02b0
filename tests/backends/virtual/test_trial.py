"""One trial in virtual time."""

from __future__ import annotations

from datetime import datetime

import pytest

from syne_hypersched.backends.virtual._trial import VirtualTrial, virtual_moment
from syne_hypersched.blackboxes import LearningCurve


def test_counters_go_on_over_launches_and_the_signal_time_is_reported_once_in_each():
    trial = VirtualTrial(0, LearningCurve([{"epoch": 1}, {"epoch": 2}, {"epoch": 3}], [4.0] * 3))
    told = []
    for launch, time_s in ((("a",), 10.0), (("a", "b"), 20.0)):
        trial.signal_s = time_s - 1
        trial.begin_launch(launch, len(told), time_s)
        trial.epoch_s = 4.0 / len(launch)
        told.append(trial.report(time_s + 5, "elapsed_s", 4.0))
    told.append(trial.report(time_s + 7, "elapsed_s", 4.0))
    assert [report["elapsed_s"] for report in told] == [4, 6, 8]
    assert [report["st_worker_iter"] for report in told] == [0, 1, 2]
    assert [report["st_launch"] for report in told] == [0, 1, 1]
    assert [report["st_num_devices"] for report in told] == [1, 2, 2]
    assert [report.get("st_signal_to_report_s") for report in told] == [6, 6, None]
    assert trial.num_trained == 3


def test_the_curve_is_not_touched():
    reports = [{"epoch": 1}]
    trial = VirtualTrial(0, LearningCurve(reports, [1.0]))
    trial.report(1.0, "elapsed_s", 1.0)["epoch"] = 7
    assert reports == [{"epoch": 1}]


def test_virtual_time_stands_for_seconds_after_1970_everywhere():
    assert virtual_moment(86_400.5) == datetime(1970, 1, 2, 0, 0, 0, 500_000)


@pytest.mark.parametrize("time_s", [1e12, 1e300])
def test_a_time_beyond_all_dates_is_named(time_s):
    with pytest.raises(ValueError, match=r"virtual time must be at most 2.5e11 seconds.* has come to 1e\+(12|300) s"):
        virtual_moment(time_s)
