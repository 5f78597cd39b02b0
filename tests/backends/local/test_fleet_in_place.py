"""Changes in place when no launch begins any more, without processes."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from syne_hypersched._resize_desk import ChangeOutcome, RankChange, ResizeDesk
from syne_hypersched.backends.local._checkpoints import Checkpoints
from syne_hypersched.backends.local._crew import Crew
from syne_hypersched.backends.local._failures import FailurePolicy
from syne_hypersched.backends.local._fleet import Fleet
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.events import EventLog
from syne_hypersched.backends.shared.reconcile import Phase
from syne_hypersched.launch import LaunchExit, LaunchSpec, RankSpec


class Running:
    """A fleet with a trial on two of four devices, whose script has said that processes may join and leave."""

    def __init__(self, folder: Path) -> None:
        pool = DevicePool([f"cpu{index}" for index in range(4)])
        events = EventLog(folder / "events.jsonl", time.monotonic)
        checkpoints = Checkpoints(lambda trial_id: folder, lambda trial_id: None, events, False, 0.0)
        policy = FailurePolicy(2, 1.0, None, 0.0)
        self.fleet = Fleet(pool, events, nothing_is_launched, nothing_is_launched, 5.0, policy, checkpoints)
        self.desk = ResizeDesk(folder / "resizes")
        self.desk.open()
        self.desk.announce()
        self.trial = TrialProcesses(0, folder / "std.out", folder / "std.err")
        self.fleet._trials[0] = self.trial
        self.trial.start(2, order=1)
        devices = pool.acquire(0, 2)
        self.trial.begin_launch(2)
        self.trial.crew = Crew(9, devices, 2, self.desk)
        self.trial.take_handle(9)
        self.fleet._by_handle[9] = 0
        self.fleet._trials.place(self.trial)


def nothing_is_launched(*args: Any, **kwargs: Any) -> NoReturn:
    raise AssertionError("nothing may be launched")


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


SPEC = LaunchSpec(("train.py",), (RankSpec({}, "std.out", "std.err"),) * 3, warm=False, grace_s=5.0)


class Launches:
    """A launcher that starts no process, and says which it was asked to end."""

    def __init__(self) -> None:
        self.drained: list[int] = []

    def launch(self, spec: LaunchSpec) -> int:
        return 10

    def drain(self, handle: int, grace_s: float) -> None:
        self.drained.append(handle)

    def set_deadline(self, drain_at: float, kill_at: float) -> None:
        pass


@pytest.fixture
def growing(tmp_path, monkeypatch) -> Running:
    """A trial that is to grow from two to three devices, and whose new process gets ready."""
    running = Running(tmp_path)
    running.fleet._launcher = Launches()
    running.trial.clock.hear()
    monkeypatch.setattr(running.fleet, "_make_spec", lambda *_: SPEC)
    running.fleet.wish_devices(0, 3)
    assert running.trial.phase is Phase.CHANGING
    return running


def events(running: Running, name: str) -> list[str]:
    log = running.fleet._events.path.read_text().splitlines()
    return [event["reason"] for event in map(json.loads, log) if event["event"] == name]


def end_newcomer(running: Running) -> None:
    running.fleet._on_exit(10, LaunchExit((-9,), None, drained=True, killed=True), time.monotonic())


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
    assert fleet._launcher.drained == [10]
    end_newcomer(growing)
    for num_devices in (4, 3):
        fleet.wish_devices(0, num_devices)
        fleet.poll([0])
    assert growing.trial.phase is Phase.RUNNING
    assert len(fleet.pool.held_by(0)) == 2
    assert fleet._launcher.drained == [10], "the trial ends by itself"
    assert events(growing, "unchanged") == (["the run has ended"] if was_taken else [])
    assert events(growing, "abandon") == ["the run has ended" if was_taken else "withdrawn"]
    fleet.wish_devices(0, 1)  # but devices that are wanted elsewhere are given back
    assert growing.desk.pending() == RankChange(1, 2, 1)


def test_a_device_that_is_to_go_is_left_while_the_trial_trains(running):
    fleet, desk = running.fleet, running.desk
    fleet._launcher = Launches()
    fleet.set_present(["cpu0", "cpu2", "cpu3"], "a guest")
    change = RankChange(0, 2, 1)
    assert desk.pending() == change
    assert fleet._launcher.drained == []
    assert desk.take(change)
    desk.answer(ChangeOutcome(0, True))
    fleet.poll([0])
    assert fleet.pool.held_by(0) == ("cpu0", "cpu1"), "until the process is reaped"
    fleet._on_left(9, 1)
    assert fleet.pool.held_by(0) == ("cpu0",)
    assert fleet.pool.retiring == ()
    log = [json.loads(line) for line in fleet._events.path.read_text().splitlines()]
    assert [event["event"] for event in log] == ["retire", "left", "freed"]


def test_a_trial_whose_device_is_lost_while_it_is_left_is_killed_at_once(running):
    fleet = running.fleet
    fleet._launcher = Launches()
    running.trial.clock.hear()
    fleet.set_present(["cpu0", "cpu2", "cpu3"], "a guest")
    assert fleet._launcher.drained == []
    fleet.lose(["cpu1"], "it has failed")
    assert fleet._launcher.drained == [9]


def test_the_middle_one_of_three_processes_leaves(running):
    fleet, crew = running.fleet, running.trial.crew
    crew.seats.append(replace(crew.seats[1], index=2, device=fleet.pool.extend(0, 1)[0], log=2))
    running.trial.resize(3, order=2)
    fleet.set_present(["cpu0", "cpu2", "cpu3"], "a guest")
    change = running.desk.pending()
    assert change == RankChange(0, 3, 2, (1,))
    assert running.desk.take(change)
    running.desk.answer(ChangeOutcome(0, True))
    fleet._on_left(9, 1)
    assert crew.devices == fleet.pool.held_by(0) == ("cpu0", "cpu2")
    assert crew.rank_of(9, 2) == 1


def test_the_device_of_the_first_process_is_left_by_a_relaunch_that_says_why(running):
    fleet = running.fleet
    fleet._launcher = Launches()
    running.trial.clock.hear()
    fleet.set_present(["cpu1", "cpu2", "cpu3"], "a guest")
    assert fleet._launcher.drained == [9]
    log = [json.loads(line) for line in fleet._events.path.read_text().splitlines()]
    assert log[-1]["reason"] == "pool"
    assert log[-1]["not_in_place"] == "the device of its first process, which leads every change, is to go"


@pytest.mark.parametrize("was_taken", [False, True])
def test_a_device_goes_on_which_a_process_gets_ready(growing, was_taken):
    fleet = growing.fleet
    (new,) = growing.trial.crew.new_devices
    if was_taken:
        assert growing.desk.take(RankChange(0, 2, 3))
    fleet.set_present([device for device in fleet.pool.devices if device != new], "a guest")
    if was_taken:
        assert fleet._launcher.drained == [], "it is carried out first"
        growing.desk.answer(ChangeOutcome(0, True))
        fleet.poll([0])
        assert growing.desk.pending() == RankChange(1, 3, 2)
        return
    assert fleet._launcher.drained == [10], "the trial itself trains on"
    assert events(growing, "withdraw") == ["devices are to go"]
    end_newcomer(growing)
    assert new not in fleet.pool.held_by(0)
    assert len(fleet.pool.held_by(0)) == 3, "another process gets ready on another device"
    assert growing.desk.pending() == RankChange(1, 2, 3)
    assert not events(growing, "drain")


def test_new_processes_that_the_deadline_ends_have_not_failed(growing, caplog):
    now = time.monotonic()
    growing.fleet.set_deadline(drain_at=now, kill_at=now + 1000.0)
    growing.fleet._on_exit(10, LaunchExit((-15,), None, drained=True, killed=False), now)
    assert growing.desk.pending() is None
    assert events(growing, "abandon") == ["deadline"]
    assert growing.trial.crew.num_failed == 0
    assert "stays on" not in caplog.text


def test_a_change_that_fails_counts_once_while_its_new_processes_end(growing):
    assert growing.desk.take(RankChange(0, 2, 3))
    growing.desk.answer(ChangeOutcome(0, False, "a process does not answer"))
    for _ in range(3):
        growing.fleet.poll([0])
    assert events(growing, "unchanged") == ["a process does not answer"]
    assert growing.trial.crew.num_failed == 1
    end_newcomer(growing)
    growing.fleet.poll([0])
    assert growing.trial.phase is Phase.RUNNING
    assert growing.fleet._launcher.drained == [10]


def test_the_event_of_a_relaunch_says_why_it_is_none_in_place(tmp_path, caplog):
    running = Running(tmp_path)
    running.fleet._launcher, running.fleet.resize_mode = Launches(), "in_place"
    running.trial.clock.hear()
    running.desk.open()
    running.desk.decline("its model is sharded")
    running.fleet.wish_devices(0, 1)
    assert running.fleet._launcher.drained == [9]
    (drain,) = [line for line in running.fleet._events.path.read_text().splitlines() if '"drain"' in line]
    assert json.loads(drain)["not_in_place"] == "its model is sharded"
    assert "for a resize to 1 device, although resize is 'in_place': its model is sharded." in caplog.text
