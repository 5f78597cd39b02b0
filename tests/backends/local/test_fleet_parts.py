"""A fleet that is stored with its tuner goes on in another process, also one that an older version has stored."""

from __future__ import annotations

import os
import time

import pytest
from syne_tune.backend.trial_status import Status

from syne_hypersched.backends.local._crew import Crew
from syne_hypersched.backends.local._fleet import Fleet
from syne_hypersched.backends.local._roster import Roster
from syne_hypersched.backends.local._shares import GpuShares
from syne_hypersched.backends.shared.levels import Relaunches
from syne_hypersched.launch import LaunchExit
from tests.backends.local.fleets import (
    COMPLETED,
    FIRST,
    NoProcesses,
    make_fleet,
    make_spec,
    make_trial,
    parts_of_fleet,
    read_events,
)

#: What older versions have stored only if it was set.
SOMETIMES = {"shares", "one_node", "_broken"}


@pytest.fixture
def launcher():
    return NoProcesses()


@pytest.fixture
def stored(tmp_path, launcher):
    """As a tuner was stored by an older version, while a trial ran on two devices and another one was paused."""
    parts, trials = parts_of_fleet(tmp_path), Roster()
    running, paused = make_trial(tmp_path), make_trial(tmp_path, 1)
    running.start(2, order=1)
    devices = parts["pool"].acquire(0, 2)
    running.begin_launch(2)
    running.crew = Crew(4, devices, 2, None)
    running.take_handle(4)
    paused.start(1, order=2)
    parts["pool"].acquire(1, 1)
    paused.begin_launch(1)
    paused.take_handle(5)
    paused.halt(Status.paused, "pause", order=3)
    paused.exit()
    parts["pool"].release(1)
    for trial in (running, paused):
        trials[trial.trial_id] = trial
        trials.place(trial)
    return {
        "pool": parts["pool"],
        "resize_mode": "in_place",
        "_has_told": True,
        "_checkpoints": parts["checkpoints"],
        "_events": parts["events"],
        "_make_launcher": launcher.make,
        "_make_spec": make_spec,
        "_grace_s": 0.5,
        "_policy": parts["policy"],
        "_trials": trials,
        "_relaunches": Relaunches(),
        "_orders": 3,
        "_warn_at": 0.0,
        "_closing": False,
        "_validates": True,
    }


def load(stored):
    fleet = Fleet.__new__(Fleet)
    fleet.__setstate__(stored)
    return fleet


def test_a_fleet_that_an_older_version_has_stored_goes_on(stored, launcher, tmp_path):
    fleet = load(stored)
    fleet.check()
    assert fleet.pool.num_free == 4, "nothing runs here"
    assert [fleet.is_idle(trial_id) for trial_id in (0, 1)] == [True, True]
    assert fleet.poll([0, 1]) == ({0: Status.in_progress, 1: Status.paused}, [])
    assert launcher.specs == []

    fleet.start(fleet.processes(1), 1, "resume")
    (spec,) = launcher.specs
    assert len(spec.ranks) == 1
    launcher.callbacks["on_launched"](FIRST, [os.getpid()], time.monotonic())
    assert fleet.processes(1).order == 4, "orders are counted on"
    assert fleet.processes(1).launch == 1
    fleet.start(fleet.processes(0), 2, "resume")
    assert len(launcher.specs) == 2
    fleet.wish_devices(1, 2)
    assert launcher.drained == [FIRST]
    launcher.callbacks["on_exit"](FIRST, LaunchExit((75,), None, drained=True, killed=False), time.monotonic())
    assert len(launcher.specs) == 3
    assert len(launcher.specs[-1].ranks) == 2
    launcher.callbacks["on_exit"](FIRST + 1, COMPLETED, time.monotonic())
    assert fleet.poll([0, 1])[0] == {0: Status.failed, 1: Status.in_progress}, "it has reported nothing"
    names = [event["event"] for event in read_events(tmp_path)]
    assert names == ["resume", "launch", "resume", "resize", "drain", "exit", "exit", "fail"]
    fleet.halt(1, Status.stopped)
    launcher.callbacks["on_exit"](FIRST + 2, LaunchExit((75, 75), None, True, False), time.monotonic())
    fleet.stop_all()
    assert launcher.is_closed
    assert fleet.pool.num_free == 4


def test_what_is_loaded_is_stored_again_under_the_same_names(stored):
    stored |= {"shares": GpuShares(2), "one_node": True, "_broken": ("cpu3",), "_warn_at": 7.0, "_closing": True}
    again = load(stored).__getstate__()
    assert again.keys() == stored.keys()
    assert {name: value for name, value in again.items() if value is not stored[name]} == {}


def test_a_new_fleet_is_stored_under_these_names(stored, launcher, tmp_path):
    assert make_fleet(tmp_path, launcher).__getstate__().keys() == stored.keys() | SOMETIMES


def test_a_device_that_was_broken_stays_away(stored):
    fleet = load(stored | {"_broken": ("cpu3",)})
    fleet.devices.set_present(3, "a guest")
    fleet.devices.set_present(["cpu0", "cpu1"], "a guest")
    fleet.devices.set_present(4, "the guest has gone")
    assert fleet.pool.present == ("cpu0", "cpu1", "cpu2")


def test_what_an_old_version_did_not_know_has_its_default(stored):
    for name in ("resize_mode", "_has_told", "_relaunches", "_warn_at", "_closing", "_validates"):
        del stored[name]
    again = load(stored).__getstate__()
    assert (again["resize_mode"], again["_has_told"], again["_warn_at"], again["_closing"]) == (
        "auto",
        False,
        0.0,
        False,
    )
    assert again["one_node"] is False
    assert again["_broken"] == ()


def test_the_parts_of_a_fleet_share_one_state(launcher, tmp_path):
    fleet = make_fleet(tmp_path, launcher)
    fleet.start(make_trial(tmp_path), 2, "start")
    assert launcher.callbacks.keys() == {"on_launched", "on_exit", "on_checkpoint", "on_left"}
    launcher.end(FIRST, COMPLETED)
    assert fleet.poll([0])[0] == {0: Status.failed}
    assert fleet.pool.num_free == 4
