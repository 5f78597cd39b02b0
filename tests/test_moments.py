"""Seconds between moments, independent of changes of the wall clock."""

from __future__ import annotations

import json
import time

import dill
import pytest

from syne_hypersched import _moments
from syne_hypersched._moments import Moment, Stopwatch, boot_id, seconds_since_boot

HOUR_S = 3600.0


class Clocks:
    """The clocks of a machine, set by the tests."""

    def __init__(self, monkeypatch):
        self.monotonic_s, self.boot_s, self.wall_s, self.boot_id = 50.0, 80.0, 1e9, "first"
        monkeypatch.setattr(time, "monotonic", lambda: self.monotonic_s)
        monkeypatch.setattr(time, "time", lambda: self.wall_s)
        monkeypatch.setattr(_moments, "seconds_since_boot", lambda: self.boot_s)
        monkeypatch.setattr(_moments, "boot_id", lambda: self.boot_id)

    def pass_(self, seconds, asleep=False):
        self.monotonic_s += 0 if asleep else seconds
        self.boot_s += seconds
        self.wall_s += seconds

    def reboot(self):
        self.monotonic_s, self.boot_s, self.boot_id = 1.0, 2.0, "second"


@pytest.fixture
def clocks(monkeypatch):
    return Clocks(monkeypatch)


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
def test_setting_the_clock_of_the_wall_changes_nothing(clocks, step_s):
    moment, watch = Moment.now(), Stopwatch()
    watch.start()
    clocks.pass_(5)
    clocks.wall_s += step_s
    assert moment.seconds_ago() == watch.elapsed_s() == 5.0
    copy = dill.loads(dill.dumps(watch))
    clocks.wall_s += step_s
    clocks.pass_(2)
    assert copy.elapsed_s() == 7.0


def test_between_processes_sleep_of_the_machine_counts(clocks):
    moment, watch = Moment.now(), Stopwatch()
    watch.start()
    stored = dill.dumps(watch)
    clocks.pass_(100, asleep=True)
    assert moment.seconds_ago() == 100.0
    assert dill.loads(stored).elapsed_s() == 100.0
    assert watch.elapsed_s() == 0.0  # within one process only the time counts in which it could do something


def test_after_a_reboot_only_the_wall_clock_counts(clocks):
    moment, watch = Moment.now(), Stopwatch()
    watch.start(elapsed_s=10)
    stored = dill.dumps(watch)
    clocks.reboot()
    clocks.wall_s += 30
    assert moment.seconds_ago() == 30.0
    assert dill.loads(stored).elapsed_s() == 40.0
    clocks.wall_s -= HOUR_S  # which never makes a time negative
    assert moment.seconds_ago() == 0.0
    assert dill.loads(stored).elapsed_s() == 10.0


def test_a_moment_is_stored_as_json_and_older_versions_have_only_the_wall_clock(clocks):
    moment = Moment.now()
    assert Moment.of(json.loads(json.dumps(moment.entries))) == moment
    clocks.pass_(3)
    assert Moment.of({"timestamp": moment.timestamp, "pid": 3}).seconds_ago() == 3.0


def test_a_stopwatch_that_was_not_started_shows_zero(clocks):
    copy = dill.loads(dill.dumps(Stopwatch()))
    assert (copy.is_running, copy.elapsed_s()) == (False, 0.0)
    copy.start()
    clocks.pass_(1)
    assert (copy.is_running, copy.elapsed_s()) == (True, 1.0)


def test_this_machine_has_these_clocks():
    assert seconds_since_boot() >= time.monotonic() - 1
    assert len(boot_id()) == 36
