from __future__ import annotations

import math
import time

import dill
import pytest

from syne_hypersched import _moments
from syne_hypersched.schedulers.clock import TuningClock


class FakeTime:
    """Replaces the machine's clocks."""

    def __init__(self, monkeypatch):
        self.monotonic_s = 1000.0
        self.wall_s = 5e8
        monkeypatch.setattr(time, "monotonic", lambda: self.monotonic_s)
        monkeypatch.setattr(time, "time", lambda: self.wall_s)
        # As on a machine that was rebooted between any two readings: only the wall clock goes on.
        monkeypatch.setattr(_moments, "boot_id", lambda: None)

    def advance(self, seconds):
        self.monotonic_s += seconds
        self.wall_s += seconds


@pytest.fixture
def fake_time(monkeypatch):
    return FakeTime(monkeypatch)


def test_wall_time_counts_from_the_start(fake_time):
    clock = TuningClock()
    fake_time.advance(7)
    clock.start()
    fake_time.advance(3)
    clock.start()
    assert clock.now_s() == 3.0


def test_a_jump_of_the_wall_clock_changes_nothing(fake_time):
    clock = TuningClock()
    clock.start()
    fake_time.wall_s += 1e6
    fake_time.monotonic_s += 2
    assert clock.now_s() == 2.0


def test_a_stored_clock_goes_on_in_wall_time_in_another_process(fake_time):
    clock = TuningClock()
    clock.start()
    fake_time.advance(10)
    stored = dill.dumps(clock)
    fake_time.wall_s += 100
    fake_time.monotonic_s = 3.0  # another machine's clock, or this one's after a reboot
    loaded = dill.loads(stored)
    assert loaded.now_s() == pytest.approx(110.0)
    fake_time.advance(5)
    assert loaded.now_s() == pytest.approx(115.0)


def test_a_wall_clock_set_back_while_stored_gives_no_negative_time(fake_time):
    clock = TuningClock()
    clock.start()
    fake_time.advance(10)
    stored = dill.dumps(clock)
    fake_time.wall_s -= 1e6
    assert dill.loads(stored).now_s() == pytest.approx(10.0)


def test_a_clock_that_was_not_started_is_stored_as_such(fake_time):
    loaded = dill.loads(dill.dumps(TuningClock()))
    fake_time.advance(10)
    assert loaded.now_s() == 0.0


def test_a_simulated_backend_says_the_time(fake_time):
    clock = TuningClock()
    clock.start()
    fake_time.advance(50)
    assert clock.now_s() == 50.0
    assert not clock.observe({"loss": 1.0})
    assert clock.observe({"st_tuner_time": 4.0})
    assert clock.now_s() == 4.0
    fake_time.advance(50)
    assert not clock.observe({"st_tuner_time": 9.0})
    assert clock.now_s() == 9.0
    assert dill.loads(dill.dumps(clock)).now_s() == 9.0


def test_a_callable_is_asked_and_reports_do_not_count(fake_time):
    now = [0.0]
    clock = TuningClock(lambda: now[0])
    now[0] = 12
    assert not clock.observe({"st_tuner_time": 99.0})
    fake_time.advance(50)
    assert clock.now_s() == 12.0


def test_time_never_runs_backwards():
    readings = iter([5.0, 3.0, 8.0])
    clock = TuningClock(lambda: next(readings))
    assert [clock.now_s() for _ in range(3)] == [5.0, 5.0, 8.0]
    simulated = TuningClock()
    simulated.observe({"st_tuner_time": 5.0})
    simulated.observe({"st_tuner_time": 3.0})
    assert simulated.now_s() == 5.0


@pytest.mark.parametrize("reading", [math.nan, math.inf, None, "3"])
def test_bad_readings(reading):
    with pytest.raises(ValueError, match="clock must give a finite number of seconds since the start, but got"):
        TuningClock(lambda: reading).now_s()
    with pytest.raises(ValueError, match="st_tuner_time must give a finite number"):
        TuningClock().observe({"st_tuner_time": reading})


def test_a_clock_must_be_callable():
    with pytest.raises(TypeError, match=r"clock must be a callable .* or None, but got 3"):
        TuningClock(3)  # type: ignore[arg-type]
