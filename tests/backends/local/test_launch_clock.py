"""The signal or order that led to a launch."""

from __future__ import annotations

import math

import pytest

from syne_hypersched.backends.local._launch_clock import LaunchClock


def test_the_seconds_of_a_back_off_are_no_cost_of_a_launch():
    clock = LaunchClock()
    clock.expect_launch()
    now, timestamp = clock.signal_time, clock.signal_timestamp
    clock.expect_launch(backoff_s=100.0)
    assert clock.signal_time - now == pytest.approx(100.0, abs=10.0)
    assert clock.signal_timestamp - timestamp == pytest.approx(100.0, abs=10.0)
    assert clock.launch_at == clock.signal_time


def test_a_launch_is_not_silent_before_its_processes_exist():
    clock = LaunchClock()
    clock.expect_launch()
    clock.begin_launch()
    assert (clock.answers_to, clock.silent_s()) == (clock.signal_time, -math.inf)
    clock.hear()
    assert clock.silent_s() >= 0
