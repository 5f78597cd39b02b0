from __future__ import annotations

import pytest
from syne_tune.config_space import uniform

from syne_hypersched import HyperSched
from syne_hypersched.recovery._ticks import Ticks


class Moments:
    """A clock of the user's."""

    def __init__(self, *moments_s):
        self.moments_s = list(moments_s)

    def __call__(self):
        return self.moments_s.pop(0)


def make(clock=None):
    return HyperSched({"x": uniform(0, 1)}, "loss", "epoch", 9, num_devices=2, deadline_s=100.0, clock=clock)


def test_time_passes_only_between_calls(monkeypatch):
    now_s = [50.0]
    monkeypatch.setattr("time.monotonic", lambda: now_s[0])
    ticks = Ticks()
    ticks.start(3.0)
    assert ticks() == 0.0
    now_s[0] = 52.5
    assert ticks() == 0.0
    assert ticks.tick() == ticks() == ticks.now_s == 5.5
    now_s[0] = 51.0
    assert ticks.tick() == 5.5, "it never runs backwards"


def test_the_clock_of_a_scheduler_shows_these_moments():
    ticks, scheduler = Ticks(), make()
    ticks.drive(scheduler)
    ticks.now_s = 7.0
    assert scheduler._clock.now_s() == 7.0


def test_the_users_clock_is_the_source_of_the_moments_also_after_a_resume():
    clock = Moments(4, 5)
    ticks, scheduler = Ticks(), make(clock)
    ticks.drive(scheduler)
    assert [ticks.tick(), ticks()] == [4.0, 4.0]
    assert scheduler._clock.now_s() == 4.0
    later = Ticks()
    later.drive(scheduler)
    assert later.tick() == 5.0
    assert scheduler._clock.now_s() == 5.0
    assert ticks() == 4.0


@pytest.mark.parametrize("scheduler", [object.__new__(type("Plain", (), {}))])
def test_a_scheduler_without_a_clock_is_left_alone(scheduler):
    ticks = Ticks()
    ticks.drive(scheduler)
    ticks.start(1.0)
    assert ticks.tick() >= 1.0
