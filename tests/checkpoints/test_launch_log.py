"""When the reports of a launch were printed, as far as the log tells."""

from __future__ import annotations

import json
import os
import time

import pytest

from syne_hypersched.checkpoints._change import Change
from syne_hypersched.checkpoints._launch_log import LaunchLog


class Log:
    """A log with the time at which it was written."""

    def __init__(self, folder):
        self.path = folder / "std.out"
        self.path.write_text("of an earlier launch\n")
        self.log = LaunchLog(str(self.path), self.path.stat().st_size)

    def print(self, *lines, at=1000.0):
        with open(self.path, "a") as file:
            file.writelines(f"{line}\n" for line in lines)
        os.utime(self.path, (at, at))

    def report(self, epoch, *others, at=1000.0, called_at=None):
        stamp = {} if called_at is None else {"st_worker_timestamp": called_at}
        self.print(f"[tune-metric]: {json.dumps({'epoch': epoch} | stamp)}", *others, at=at)

    def new(self):
        return self.log.new_reports(self.log.size())


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path)


def test_reports_of_this_launch_are_read_once(log):
    assert log.new() == []
    log.report(1, "another line")
    log.report(2)
    assert [raw.values["epoch"] for raw in log.new()] == [1, 2]
    assert log.log.seen_size == log.path.stat().st_size
    assert log.new() == []


def test_the_time_of_the_last_report_is_that_of_the_log(log):
    log.report(1)
    log.report(2, at=2000.0)
    first, last = log.new()
    assert log.log.printed_at(first) is None
    assert log.log.printed_at(last) == 2000.0
    log.print("a line")
    log.log.size()
    assert log.log.printed_at(last) is None


def test_a_report_was_printed_after_the_last_look(log):
    log.report(1, at=time.time() - 100.0)
    (raw,) = log.new()
    now = time.monotonic()
    assert log.log.printed_s(raw, now - 500.0) == pytest.approx(now - 100.0, abs=50.0)
    assert log.log.printed_s(raw, now - 1.0) == now - 1.0  # the clock was set
    log.print("a line")
    log.log.size()
    assert log.log.printed_s(raw, now - 500.0) == now - 500.0


@pytest.mark.parametrize(
    ("time_at", "expected"), [(900.0, True), (1000.0, True), (1000.009, True), (1000.02, False), (0.0, False)]
)
def test_what_changed_until_shortly_after_the_only_new_report_belongs_to_it(log, time_at, expected):
    log.report(1)
    log.new()
    assert log.log.is_by_report(time_at) == expected


def test_nothing_is_known_about_several_reports_or_with_a_line_after_the_report(log):
    assert not log.log.is_by_report(900.0)
    log.report(1)
    log.report(2)
    log.new()
    assert not log.log.is_by_report(900.0)
    log.report(3, "a line")
    log.new()
    assert not log.log.is_by_report(900.0)
    log.report(4)
    log.new()
    assert log.log.is_by_report(900.0)


def test_a_log_that_is_gone_has_its_last_known_size(log):
    log.report(1)
    log.new()
    size = log.path.stat().st_size
    log.path.unlink()
    assert log.log.size() == size


@pytest.mark.parametrize("stamp", [None, "now", True, float("inf"), 0.0, 1e12])
def test_when_the_function_of_the_report_was_called_is_known_only_if_it_can_be_true(log, stamp):
    log.report(1, called_at=stamp)
    (raw,) = log.new()
    assert log.log.called_at(raw) is None


def test_it_is_known_from_syne_tunes_reporter(log):
    log.report(1, called_at=(now := time.time()))
    (raw,) = log.new()
    assert log.log.called_at(raw) == now


SAVE = [Change("closed", "model")]


def has_one_each(log, parts, changed_at=0.0):
    return log.log.has_one_each(log.new(), parts, lambda path: changed_at)


def test_each_addition_is_a_report_if_nothing_else_was_printed(log):
    log.report(1)
    log.report(2)
    log.report(3)
    assert has_one_each(log, [[], SAVE, SAVE, []])


@pytest.mark.parametrize("parts", [[[], SAVE], [[], SAVE, []], [SAVE, SAVE, SAVE, SAVE, SAVE]])
def test_more_or_fewer_additions_than_reports_tell_nothing(log, parts):
    log.report(1)
    log.report(2)
    log.report(3)
    assert not has_one_each(log, parts)


def test_one_report_needs_no_order(log):
    log.report(1)
    assert not has_one_each(log, [SAVE, []])


def test_another_line_may_be_an_addition(log):
    log.report(1)
    log.report(2, "an epoch is over")
    assert not has_one_each(log, [[], SAVE, []])
    log.report(3)
    log.report(4)
    assert has_one_each(log, [[], SAVE, []])  # the line came before


@pytest.mark.parametrize(
    ("changed_after_s", "is_alone", "expected"),
    [
        (0.5, True, True),
        (0.5, False, True),
        (0.995, True, True),
        (0.995, False, False),
        (1.5, True, False),
        (1.5, False, False),
        (-0.5, True, False),
        (-0.5, False, False),
    ],
)
def test_times_confirm_or_refute_the_order(log, monkeypatch, changed_after_s, is_alone, expected):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 10.0)
    log.report(1, called_at=now + 1.0)
    log.report(2, *([] if is_alone else ["an epoch is over"]), called_at=now + 2.0)
    assert has_one_each(log, [[], SAVE, []], changed_at=now + 1.0 + changed_after_s) == expected


def test_a_file_that_changed_again_refutes_nothing(log, monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 10.0)
    for epoch in (1, 2):
        log.report(epoch, called_at=now + epoch)
    assert has_one_each(log, [[], SAVE, SAVE], changed_at=now + 2.5)
