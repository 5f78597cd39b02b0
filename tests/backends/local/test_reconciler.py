"""What is planned is done: launches, drains and changes, and warnings of what cannot be done."""

from __future__ import annotations

import time

import pytest

from syne_hypersched._resize_desk import RankChange
from syne_hypersched.backends.local._shares import GpuShares
from syne_hypersched.backends.shared.reconcile import Phase
from tests.backends.local.fleets import DRAINED, FIRST, NoProcesses, Running, make_fleet, make_trial


def test_a_trial_that_cannot_be_resized_in_place_is_drained_and_launched_again(tmp_path):
    launcher = NoProcesses()
    fleet = make_fleet(tmp_path, launcher)
    fleet.start(make_trial(tmp_path), 2, "start")
    fleet.wish_devices(0, 3)
    assert launcher.drained == [FIRST]
    launcher.end(FIRST, DRAINED)
    assert len(launcher.specs[-1].ranks) == 3


def test_an_order_that_is_taken_back_withdraws_the_change(tmp_path):
    running = Running(tmp_path)
    running.fleet.wish_devices(0, 3)
    assert running.desk.pending() == RankChange(0, 2, 3)
    running.fleet.wish_devices(0, 2)
    assert running.desk.pending() is None
    assert running.reasons("withdraw") == ["another order"]


def test_nothing_is_launched_when_it_is_too_late_but_trials_shrink(tmp_path):
    running = Running(tmp_path)
    now = time.monotonic()
    running.fleet.set_deadline(now, now + 1000.0)
    running.fleet.start(make_trial(tmp_path, 1), 1, "start")
    running.fleet.wish_devices(0, 3)
    assert len(running.launcher.specs) == 1
    assert running.desk.pending() is None
    running.fleet.wish_devices(0, 1)
    assert running.desk.pending() == RankChange(0, 2, 1)


def test_a_launch_waits_until_its_moment_has_come(tmp_path):
    launcher = NoProcesses()
    fleet = make_fleet(tmp_path, launcher)
    fleet.devices.shut("", True, "")
    trial = make_trial(tmp_path)
    fleet.start(trial, 1, "start")
    trial.clock.expect_launch(backoff_s=1000.0)
    fleet.devices.shut("", False, "")
    assert launcher.specs == []
    trial.clock.expect_launch()
    fleet.poll([0])
    assert len(launcher.specs) == 1


@pytest.mark.parametrize("free", [5, 1])
def test_a_launch_on_a_share_waits_for_memory(tmp_path, free):
    launcher = NoProcesses()
    fleet = make_fleet(tmp_path, launcher, shares=GpuShares(2, lambda gpu: (free * 10**9, 10**10)))
    fleet.start(make_trial(tmp_path), 1, "start")
    assert len(launcher.specs) == (1 if free == 5 else 0)


@pytest.mark.parametrize("is_too_late", [False, True])
def test_a_trial_that_waits_long_is_a_warning_unless_it_waits_for_the_end(tmp_path, caplog, is_too_late):
    running = Running(tmp_path)
    trial = make_trial(tmp_path, 1)
    running.fleet.wish_devices(0, 4)
    running.fleet.start(trial, 2, "start")
    assert trial.phase is Phase.IDLE
    trial.clock.signal_time -= 60.0
    running.fleet._parts.reconciler.warn_at = 0.0
    if is_too_late:
        running.fleet.set_deadline(time.monotonic(), time.monotonic() + 1000.0)
    for _ in range(2):
        running.fleet.poll([0])
    assert caplog.text.count("Trial 1 has waited 60 s for 2 devices") == (0 if is_too_late else 1)
