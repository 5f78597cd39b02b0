"""When the reports of a launch were printed, as far as the log tells."""

from __future__ import annotations

import json
import os
import time

import pytest

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

    def report(self, epoch, *others, at=1000.0):
        self.print(f"[tune-metric]: {json.dumps({'epoch': epoch})}", *others, at=at)

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
