"""Processes that join and leave a trial while it trains, without processes."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from syne_hypersched._resize_desk import ChangeOutcome, RankChange
from syne_hypersched.backends.shared.reconcile import Phase
from syne_hypersched.launch import LaunchExit
from tests.backends.local.fleets import FIRST, Running, read_events

#: The launcher's number of the new processes of the first change.
NEW = FIRST + 1


@pytest.fixture
def running(tmp_path) -> Running:
    running = Running(tmp_path)
    now = time.monotonic()
    running.fleet.set_deadline(drain_at=now, kill_at=now + 1000.0)
    return running


def test_a_trial_still_shrinks_in_place_when_the_drain_has_begun(running):
    running.fleet.wish_devices(0, 1)
    assert running.desk.pending() == RankChange(0, 2, 1)
    assert running.trial.phase is Phase.CHANGING


def test_a_trial_no_longer_grows_in_place_when_the_drain_has_begun(running):
    running.fleet.wish_devices(0, 3)
    assert running.desk.pending() is None
    assert running.trial.phase is Phase.RUNNING
    assert len(running.fleet.pool.held_by(0)) == 2
    assert len(running.launcher.specs) == 1, "nothing may be launched"


@pytest.fixture
def growing(tmp_path) -> Running:
    """A trial that is to grow from two to three devices, and whose new process gets ready."""
    running = Running(tmp_path)
    running.fleet.wish_devices(0, 3)
    assert running.trial.phase is Phase.CHANGING
    return running


def end_newcomer(running: Running) -> None:
    running.launcher.end(NEW, LaunchExit((-9,), None, drained=True, killed=True))


@pytest.mark.parametrize("was_taken", [False, True])
def test_a_trial_whose_training_has_ended_is_not_relaunched_to_grow(growing, was_taken):
    (change, fleet) = (RankChange(0, 2, 3), growing.fleet)
    if was_taken:
        assert growing.desk.take(change)
    growing.desk.end()
    if was_taken:
        growing.desk.answer(ChangeOutcome(0, False, "the run has ended"))
    for _ in range(3):
        fleet.poll([0])
    assert growing.launcher.drained == [NEW]
    end_newcomer(growing)
    for num_devices in (4, 3):
        fleet.wish_devices(0, num_devices)
        fleet.poll([0])
    assert growing.trial.phase is Phase.RUNNING
    assert len(fleet.pool.held_by(0)) == 2
    assert growing.launcher.drained == [NEW], "the trial ends by itself"
    assert growing.reasons("unchanged") == (["the run has ended"] if was_taken else [])
    assert growing.reasons("abandon") == ["the run has ended" if was_taken else "withdrawn"]
    fleet.wish_devices(0, 1)  # but devices that are wanted elsewhere are given back
    assert growing.desk.pending() == RankChange(1, 2, 1)


def test_a_device_that_is_to_go_is_left_while_the_trial_trains(running):
    fleet, desk = running.fleet, running.desk
    fleet.devices.set_present(["cpu0", "cpu2", "cpu3"], "a guest")
    change = RankChange(0, 2, 1)
    assert desk.pending() == change
    assert running.launcher.drained == []
    assert desk.take(change)
    desk.answer(ChangeOutcome(0, True))
    fleet.poll([0])
    assert fleet.pool.held_by(0) == ("cpu0", "cpu1"), "until the process is reaped"
    running.launcher.leave(FIRST, 1)
    assert fleet.pool.held_by(0) == ("cpu0",)
    assert fleet.pool.retiring == ()
    log = read_events(running.folder)
    assert [event["event"] for event in log] == ["start", "launch", "retire", "left", "freed"]


def test_a_trial_whose_device_is_lost_while_it_is_left_is_killed_at_once(running):
    fleet = running.fleet
    fleet.devices.set_present(["cpu0", "cpu2", "cpu3"], "a guest")
    assert running.launcher.drained == []
    fleet.devices.lose(["cpu1"], "it has failed")
    assert running.launcher.drained == [FIRST]


def test_the_middle_one_of_three_processes_leaves(running):
    fleet, crew = running.fleet, running.trial.crew
    crew.seats.append(replace(crew.seats[1], index=2, device=fleet.pool.extend(0, 1)[0], log=2))
    running.trial.resize(3, order=2)
    fleet.devices.set_present(["cpu0", "cpu2", "cpu3"], "a guest")
    change = running.desk.pending()
    assert change == RankChange(0, 3, 2, (1,))
    assert running.desk.take(change)
    running.desk.answer(ChangeOutcome(0, True))
    running.launcher.leave(FIRST, 1)
    assert crew.devices == fleet.pool.held_by(0) == ("cpu0", "cpu2")
    assert crew.rank_of(FIRST, 2) == 1


def test_the_device_of_the_first_process_is_left_by_a_relaunch_that_says_why(running):
    fleet = running.fleet
    fleet.devices.set_present(["cpu1", "cpu2", "cpu3"], "a guest")
    assert running.launcher.drained == [FIRST]
    log = read_events(running.folder)
    assert log[-1]["reason"] == "pool"
    assert log[-1]["not_in_place"] == "the device of its first process, which leads every change, is to go"


@pytest.mark.parametrize("was_taken", [False, True])
def test_a_device_goes_on_which_a_process_gets_ready(growing, was_taken):
    fleet = growing.fleet
    (new,) = growing.trial.crew.new_devices
    if was_taken:
        assert growing.desk.take(RankChange(0, 2, 3))
    fleet.devices.set_present([device for device in fleet.pool.devices if device != new], "a guest")
    if was_taken:
        assert growing.launcher.drained == [], "it is carried out first"
        growing.desk.answer(ChangeOutcome(0, True))
        fleet.poll([0])
        assert growing.desk.pending() == RankChange(1, 3, 2)
        return
    assert growing.launcher.drained == [NEW], "the trial itself trains on"
    assert growing.reasons("withdraw") == ["devices are to go"]
    end_newcomer(growing)
    assert new not in fleet.pool.held_by(0)
    assert len(fleet.pool.held_by(0)) == 3, "another process gets ready on another device"
    assert growing.desk.pending() == RankChange(1, 2, 3)
    assert not growing.reasons("drain")


def test_new_processes_that_the_deadline_ends_have_not_failed(growing, caplog):
    now = time.monotonic()
    growing.fleet.set_deadline(drain_at=now, kill_at=now + 1000.0)
    growing.launcher.end(NEW, LaunchExit((-15,), None, drained=True, killed=False))
    assert growing.desk.pending() is None
    assert growing.reasons("abandon") == ["deadline"]
    assert growing.trial.crew.num_failed == 0
    assert "stays on" not in caplog.text


def test_a_change_that_fails_counts_once_while_its_new_processes_end(growing):
    assert growing.desk.take(RankChange(0, 2, 3))
    growing.desk.answer(ChangeOutcome(0, False, "a process does not answer"))
    for _ in range(3):
        growing.fleet.poll([0])
    assert growing.reasons("unchanged") == ["a process does not answer"]
    assert growing.trial.crew.num_failed == 1
    end_newcomer(growing)
    growing.fleet.poll([0])
    assert growing.trial.phase is Phase.RUNNING
    assert growing.launcher.drained == [NEW]


def test_the_event_of_a_relaunch_says_why_it_is_none_in_place(tmp_path, caplog):
    running = Running(tmp_path, resize_mode="in_place")
    running.desk.open()
    running.desk.decline("its model is sharded")
    running.fleet.wish_devices(0, 1)
    assert running.launcher.drained == [FIRST]
    (drain,) = read_events(tmp_path, "drain")
    assert drain["not_in_place"] == "its model is sharded"
    assert "for a resize to 1 device, although resize is 'in_place': its model is sharded." in caplog.text
