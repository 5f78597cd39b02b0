"""Records of real trials while the wall clock is set."""

from __future__ import annotations

import os
import time

import pytest

from syne_hypersched.launch import is_here, is_same
from tests.backends.local.trials import Trials

pytestmark = pytest.mark.usefixtures("no_process_left")
SCRIPT = """
import json, sys, time
ahead_s = float(sys.argv[sys.argv.index("--ahead_s") + 1])
for epoch in range(1, 1000):
    stamp = time.time() + (ahead_s if epoch != 3 else 0.0)
    print("[tune-metric]: " + json.dumps({"epoch": epoch, "st_worker_timestamp": stamp}), flush=True)
    time.sleep(0.02)
"""


@pytest.fixture
def trials(tmp_path, wait_for):
    made = Trials(tmp_path, SCRIPT, wait_for, preload=())
    yield made
    made.backend.stop_all()


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_events_count_seconds_whatever_the_wall_shows(trials, monkeypatch, step_s):
    begun, real = time.monotonic(), time.time
    trials.start(ahead_s=0.0)
    trials.until(lambda: trials.reports and trials.events("launch"))
    monkeypatch.setattr(time, "time", lambda: real() + step_s)
    monkeypatch.setattr(trials.backend._events, "_timestamp", time.time)
    trials.backend.set_deadline(2.0, 0.5)
    trials.backend.pause_trial(0)
    trials.wait_for(lambda: trials.events("exit"))
    elapsed_s = time.monotonic() - begun
    (launch,), (exit_,) = trials.events("launch"), trials.events("exit")
    assert 0.0 <= launch.time_s <= exit_.time_s <= elapsed_s
    assert abs(exit_.details["timestamp"] - launch.details["timestamp"] - step_s) <= elapsed_s


@pytest.mark.parametrize("ahead_s", [3600.0, -3600.0])
def test_a_launch_has_not_cost_more_than_the_time_since_it_was_ordered(trials, ahead_s):
    """As if the clock had been set between the order and the report."""
    begun = time.monotonic()
    trials.start(ahead_s=ahead_s)
    trials.until(lambda: len(trials.reports) > 4)
    assert 0.0 <= trials.reports[0]["st_signal_to_report_s"] <= time.monotonic() - begun


def test_a_clock_that_is_set_back_does_not_reorder_reports(trials):
    trials.start(ahead_s=3600.0)
    trials.wait_for(lambda: len(trials.backend.stdout(0)) > 5)  # so that one look sees them all
    trials.until(lambda: len(trials.reports) > 5)
    assert trials.epochs[0] == list(range(1, len(trials.epochs[0]) + 1))


def test_a_launch_names_its_processes_for_good(trials):
    trials.start(ahead_s=0.0)
    trials.until(lambda: trials.reports and trials.events("launch"))
    (launch,) = trials.events("launch")
    (pid,), (started,) = launch.details["pids"], launch.details["start_ticks"]
    assert is_here(launch.details)
    assert is_same(pid, started)
    assert not is_same(os.getpid(), started)
