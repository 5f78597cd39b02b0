"""From logs to reports: every byte is read once, nothing is reported twice, counters go on."""

from __future__ import annotations

import json
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from syne_tune.report import retrieve

from syne_hypersched.backends.reports import LogTail, ReportStream, parse_reports


def line(**values):
    return f"[tune-metric]: {json.dumps(values)}"


@given(st.lists(st.binary(max_size=20), max_size=12))
def test_a_tail_gives_every_line_once_however_it_is_written(tmp_path_factory, chunks):
    path = tmp_path_factory.mktemp("log") / "std.out"
    tail, seen = LogTail(path), []
    for chunk in chunks:
        with open(path, "ab") as file:
            file.write(chunk)
        seen += tail.lines()
        tail = pickle.loads(pickle.dumps(tail))
    seen += tail.lines(to_the_end=True)
    whole = b"".join(chunks).split(b"\n")
    assert seen == [part.decode(errors="replace") for part in whole[: len(whole) if whole[-1] else -1]]


def test_a_tail_waits_for_a_log_that_does_not_exist_yet(tmp_path):
    tail = LogTail(tmp_path / "std.out")
    assert tail.lines() == []
    (tmp_path / "std.out").write_text("one\ntw")
    assert tail.lines() == ["one"]
    with open(tmp_path / "std.out", "a") as file:
        file.write("o\n")
    assert tail.lines() == ["two"]
    tail.close()


def test_a_log_without_line_ends_is_not_kept_in_memory(tmp_path):
    path = tmp_path / "std.out"
    path.write_bytes(b"x" * (3 << 20))
    tail = LogTail(path)
    read = sum(map(len, tail.lines()))
    assert (3 << 20) - read <= 1 << 20  # at most a megabyte waits for its line end
    assert sum(map(len, tail.lines(to_the_end=True))) == (3 << 20) - read


def test_a_log_of_many_megabytes_is_read_line_by_line(tmp_path):
    lines = [f"line {i} " + "é" * (i % 50) for i in range(60_000)]
    (tmp_path / "std.out").write_text("\n".join(lines), encoding="utf-8")
    tail = LogTail(tmp_path / "std.out")
    assert tail.lines() + tail.lines(to_the_end=True) == lines


@pytest.mark.parametrize(
    "text",
    [
        line(epoch=1, loss=0.5),
        "epoch 1:  50%|#####     |\r" + line(epoch=1, loss=0.5),
        line(epoch=1, nested={"a": [1, {"b": 2}]}),
        line(note="braces } { and [tune-metric]: inside"),
        "nothing here",
        "[tune-metric] no colon",
        "",
    ],
)
def test_reports_are_those_that_syne_tune_finds(text, tmp_path):
    assert parse_reports([text], tmp_path) == retrieve([text])


@pytest.mark.parametrize(
    "text", ['[tune-metric]: {"epoch": 1, "lo', "[tune-metric]: {1: 2}", "[tune-metric]: " + "[" * 9]
)
def test_what_is_not_whole_is_left_out_with_a_warning(text, tmp_path, caplog):
    assert parse_reports([text, line(epoch=2)], tmp_path / "std.out") == [{"epoch": 2}]
    assert str(tmp_path / "std.out") in caplog.text


def test_nan_is_a_number(tmp_path):
    (report,) = parse_reports(['[tune-metric]: {"loss": NaN, "best": -Infinity}'], tmp_path)
    assert math.isnan(report["loss"])
    assert report["best"] == -math.inf


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
    """What a script prints in launches that start at a checkpoint, and what a stream makes of it."""
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
    position = stream.restore(raw, delivered, "epoch")
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
    times = [report["st_worker_time"] for report in delivered + again]
    assert times == sorted(times)


@pytest.mark.parametrize("value", ["now", None, math.nan, math.inf, [], True])
def test_a_time_stamp_that_is_none_is_replaced(value):
    stream = ReportStream()
    stream.begin_launch(0, 1, 0.0)
    report = stream.accept({"epoch": 1, "st_worker_timestamp": value, "st_worker_time": value}, "epoch", now=7.0)
    assert report["st_worker_timestamp"] == 7.0
    assert "st_worker_time" not in report


def test_names_that_are_the_tuners_to_give_are_left_out(tmp_path):
    values = {"epoch": 1, "st_tuner_time": 5, "st_decision": "STOP", "st_worker_time": 0.5, "st_launch": 9}
    assert parse_reports([line(**values)], tmp_path) == [{"epoch": 1, "st_worker_time": 0.5}]


def test_what_nobody_can_write_down_or_calculate_with_is_replaced(tmp_path):
    text = '[tune-metric]: {"note": "\\ud800!", "count": 1' + "0" * 400 + ', "pair": "\\ud83d\\ude00"}'
    assert parse_reports([text], tmp_path) == [{"note": "?!", "count": math.inf, "pair": "\U0001f600"}]


def test_a_megabyte_of_tags_is_read_at_once(tmp_path):
    # With a regular expression this took minutes; the timeout of the test run is the limit here.
    assert parse_reports(["[tune-metric]: {" * 65_536], tmp_path) == []
