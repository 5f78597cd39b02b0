"""From raw reports to those of the tuner: nothing is reported twice, counters go on."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.backends.shared.reports import ReportStream, clashing_names
from syne_hypersched.contract import ST_NUM_NODES


def stream_of(*launches, time_attr="epoch"):
    """The reports that come out of launches, each (devices, [(epoch, worker time)])."""
    stream, accepted = ReportStream(), []
    for index, (num_devices, reports) in enumerate(launches):
        stream.begin_launch(index, num_devices, signal_timestamp=100.0 * index)
        for iteration, (epoch, seconds) in enumerate(reports):
            raw = {
                "epoch": epoch,
                "st_worker_time": seconds,
                "st_worker_iter": iteration,
                "st_worker_timestamp": 100.0 * index + 2 + seconds,
            }
            accepted.append(stream.accept(raw, time_attr, now=0.0))
    return [report for report in accepted if report is not None]


def test_counters_go_on_over_launches():
    reports = stream_of((1, [(1, 1.0), (2, 2.0)]), (2, [(3, 0.5), (4, 1.0)]))
    assert [r["st_worker_time"] for r in reports] == [1.0, 2.0, 2.5, 3.0]
    assert [r["st_worker_iter"] for r in reports] == [0, 1, 2, 3]
    assert [r["st_num_devices"] for r in reports] == [1, 1, 2, 2]
    assert [r["st_launch"] for r in reports] == [0, 0, 1, 1]
    assert [r.get("st_signal_to_report_s") for r in reports] == [3.0, None, 2.5, None]


def test_work_done_again_is_dropped_and_counts_as_launch_cost():
    reports = stream_of((1, [(1, 1.0), (2, 2.0)]), (2, [(1, 0.5), (2, 1.0), (3, 1.5)]))
    assert [r["epoch"] for r in reports] == [1, 2, 3]
    assert reports[-1]["st_signal_to_report_s"] == 3.5
    assert reports[-1]["st_worker_iter"] == 2


def test_one_launch_may_report_a_level_twice():
    assert [r["epoch"] for r in stream_of((1, [(1, 1.0), (1, 1.5), (2, 2.0)]))] == [1, 1, 2]


@pytest.mark.parametrize("time_attr", ["st_worker_time", "st_device_time"])
def test_time_is_a_level_that_never_repeats(time_attr):
    reports = stream_of((1, [(1, 1.0), (2, 2.0)]), (4, [(2, 0.5), (3, 1.5)]), (2, [(4, 1.0)]), time_attr=time_attr)
    assert [r["epoch"] for r in reports] == [1, 2, 2, 3, 4]
    assert [r["st_worker_time"] for r in reports] == [1.0, 2.0, 2.5, 3.5, 4.5]
    assert [r["st_device_time"] for r in reports] == [1.0, 2.0, 4.0, 8.0, 10.0]


def test_time_of_work_done_again_counts_though_its_reports_do_not():
    reports = stream_of((1, [(1, 1.0), (2, 2.0)]), (2, [(1, 0.5), (2, 1.0)]), (1, [(2, 1.0), (3, 2.0)]))
    assert [(r["epoch"], r["st_worker_time"], r["st_device_time"]) for r in reports] == [
        (1, 1.0, 1.0), (2, 2.0, 2.0), (3, 5.0, 6.0)
    ]  # fmt: skip


def test_times_stay_finite():
    reports = stream_of((4, [(1, 1e308), (2, -math.inf), (3, 2.0)]))
    assert [r.get("st_device_time") for r in reports] == [0.0, None, 8.0]


def test_without_a_resource_level_nothing_is_dropped():
    assert len(stream_of((1, [(1, 1.0)]), (1, [(1, 1.0)]), time_attr=None)) == 2


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 6), st.integers(1, 6)), max_size=8))
def test_whatever_is_redone_levels_rise_and_none_is_missing(launches):
    done, runs = 0, []
    for num_devices, redone, new in launches:
        start = max(0, done - redone)
        runs.append((num_devices, [(epoch, float(epoch - start)) for epoch in range(start + 1, done + new + 1)]))
        done += new
    reports = stream_of(*runs)
    assert [r["epoch"] for r in reports] == list(range(1, done + 1))
    assert [r["st_worker_iter"] for r in reports] == list(range(done))
    times = [r["st_worker_time"] for r in reports]
    assert times == sorted(times)


def test_a_report_without_a_time_stamp_gets_one():
    stream = ReportStream()
    stream.begin_launch(0, 1, 5.0)
    assert stream.accept({"epoch": 1}, "epoch", now=7.0)["st_worker_timestamp"] == 7.0


def run_launches(launches, stream):
    """The output of a script in launches that start at a checkpoint, and the reports that a stream returns."""
    raw, accepted = [], []
    for launch, (first, count) in enumerate(launches):
        stream.begin_launch(launch, 1 + launch % 2, 0.0)
        for number in range(count):
            printed = {"epoch": first + number, "st_worker_iter": number, "st_worker_time": 0.5 * (number + 1)}
            printed["st_worker_timestamp"] = float(len(raw))
            raw.append(printed)
            accepted.append(stream.accept(printed, "epoch", 0.0))
    return raw, accepted


@given(
    launches=st.lists(st.tuples(st.integers(1, 3), st.integers(0, 5)), min_size=1, max_size=4),
    num_delivered=st.integers(0, 20),
)
def test_a_restored_stream_goes_on_where_the_other_one_was(launches, num_delivered):
    raw, accepted = run_launches(launches, ReportStream())
    delivered = [report for report in accepted if report is not None][:num_delivered]
    stream = ReportStream()
    position, numbers = stream.restore(raw, delivered, "epoch")
    assert [raw[number - 1]["epoch"] for number in numbers.values()] == [report["epoch"] for report in delivered]
    # Nothing before the position is new, and every report beyond what was delivered comes after it.
    new = [report for report in accepted if report is not None][num_delivered:]
    assert [report for report in accepted[:position] if report is not None] == delivered
    again = []
    for printed in raw[position:]:
        if printed["st_worker_iter"] == 0:
            stream.begin_launch(0, 1, 0.0)
        again.append(stream.accept(printed, "epoch", 0.0))
    again = [report for report in again if report is not None]
    levels = [report["epoch"] for report in delivered]
    # Within one launch a level may come twice only if the script repeats it, which none of these does.
    assert [report["epoch"] for report in again] == [report["epoch"] for report in new]
    assert len(set(levels + [report["epoch"] for report in again])) == len(levels) + len(again)
    counted = [report["st_worker_iter"] for report in delivered + again]
    assert counted == list(range(len(counted)))
    for time_attr in ("st_worker_time", "st_device_time"):
        times = [report[time_attr] for report in delivered + again]
        assert times == sorted(times)


@pytest.mark.parametrize("num_delivered", range(6))
def test_a_restored_stream_knows_the_times_and_the_second_report_of_a_level(num_delivered):
    launches = [(1, [(1, 1.0), (1, 1.5), (2, 2.0)]), (3, [(2, 0.5), (2, 1.0), (3, 2.0)])]
    raw = [
        {"epoch": epoch, "st_worker_time": time_s, "st_worker_iter": number, "st_worker_timestamp": moment + 2 + time_s}
        for moment, (_, reports) in zip((0.0, 100.0), launches, strict=True)
        for number, (epoch, time_s) in enumerate(reports)
    ]
    expected = stream_of(*launches)
    stream = ReportStream()
    position, _ = stream.restore(raw, expected[:num_delivered], "epoch")
    got = expected[:num_delivered]
    for printed in raw[position:]:
        if printed["st_worker_iter"] == 0:
            stream.begin_launch(*((0, 1, 0.0) if printed["st_worker_timestamp"] < 100 else (1, 3, 100.0)))
        got.append(stream.accept(printed, "epoch", 0.0))
    assert [report for report in got if report is not None] == expected


@pytest.mark.parametrize("value", ["now", None, math.nan, math.inf, [], True])
def test_a_time_stamp_that_is_none_is_replaced(value):
    stream = ReportStream()
    stream.begin_launch(0, 1, 0.0)
    report = stream.accept({"epoch": 1, "st_worker_timestamp": value, "st_worker_time": value}, "epoch", now=7.0)
    assert report["st_worker_timestamp"] == 7.0
    assert "st_worker_time" not in report


def test_a_launch_on_several_nodes_says_so():
    stream = ReportStream()
    stream.begin_launch(0, 4, 0.0, num_nodes=2)
    assert stream.accept({"loss": 1.0, ST_NUM_NODES: 7}, None, 1.0)[ST_NUM_NODES] == 2
    stream.begin_launch(1, 2, 0.0)
    assert ST_NUM_NODES not in stream.accept({"loss": 1.0, ST_NUM_NODES: 7}, None, 1.0)


def test_a_launch_that_goes_on_on_other_devices():
    stream = ReportStream()
    stream.begin_launch(0, 1, signal_timestamp=0.0)

    def accept(epoch, seconds):
        raw = {"epoch": epoch, "st_worker_time": seconds, "st_worker_iter": epoch, "st_worker_timestamp": 10 + seconds}
        return stream.accept(raw, "epoch", now=0.0)

    assert accept(1, 4.0)["st_device_time"] == 4.0
    stream.change_devices(3, timestamp=16.0, pause_s=0.5)
    stream.change_devices(2, timestamp=18.0, pause_s=0.25)
    stream.change_devices(1, timestamp=99.0, pause_s=0.125)
    changed = accept(2, 9.0)
    # One device for 6 s, three for 2 s, two for 1 s.
    assert changed["st_device_time"] == pytest.approx(6.0 + 3 * 2.0 + 2 * 1.0)
    assert (changed["st_worker_time"], changed["st_num_devices"], changed["st_launch"]) == (9.0, 2, 0)
    assert changed["st_resize_pause_s"] == 0.75
    later = accept(3, 10.0)
    assert later["st_device_time"] == pytest.approx(16.0)
    assert "st_resize_pause_s" not in later
    stream.begin_launch(1, 1, signal_timestamp=200.0)
    again = stream.accept({"epoch": 4, "st_worker_time": 1.0, "st_worker_timestamp": 300.0}, "epoch", now=0.0)
    assert (again["st_num_devices"], again["st_device_time"]) == (1, pytest.approx(17.0))


@pytest.mark.parametrize("name", ["trial_id", "reported_trial_id"])
def test_a_stream_is_restored_from_what_an_earlier_version_has_delivered(name):
    """Earlier versions delivered an entry ``trial_id`` under its own name."""
    raw, accepted = run_launches([(1, 3)], ReportStream())
    for report in raw:
        report["reported_trial_id"] = 77
    delivered = [{**report, name: 77} for report in accepted[:2]]
    assert ReportStream().restore(raw, delivered, "epoch") == (2, {0: 1, 1: 2})
    delivered[1][name] = 78
    assert ReportStream().restore(raw, delivered, "epoch")[0] == 1


def test_names_that_are_used_for_others_are_told():
    assert clashing_names({"epoch": 1, "loss": 2, "reported": 3}) == ""
    told = clashing_names({"epoch": 1, "reported_trial_id": 77, "config_x": "boo"})
    assert "kept as reported_trial_id" in told
    assert "config_x, which the table of results replaces if the configuration has an entry x" in told


@pytest.mark.parametrize("ahead_s", [-40.0, 0.0, 40.0])
def test_the_clock_of_another_machine_does_not_count_as_launch_cost(ahead_s):
    stream = ReportStream()
    stream.clock_ahead_s = ahead_s
    stream.begin_launch(0, 1, signal_timestamp=100.0)
    report = stream.accept({"epoch": 1, "st_worker_time": 1.0, "st_worker_timestamp": 103.0 + ahead_s}, "epoch", 0.0)
    assert report["st_signal_to_report_s"] == 3.0
    assert report["st_worker_timestamp"] == 103.0 + ahead_s, "what was printed stays as it was printed"
