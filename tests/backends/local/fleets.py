"""Fleets whose launcher starts no process, for tests of what a fleet decides and orders."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from syne_hypersched.backends.local._checkpoints import Checkpoints
from syne_hypersched.backends.local._failures import FailurePolicy
from syne_hypersched.backends.local._fleet import Fleet
from syne_hypersched.backends.local._fleet_state import FleetState
from syne_hypersched.backends.local._launches import Launches
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.events import EventLog
from syne_hypersched.launch import LaunchExit, LaunchSpec, RankSpec

#: The launcher's number of the first launch.
FIRST = 9
COMPLETED = LaunchExit((0, 0), None, drained=False, killed=False)
DRAINED = LaunchExit((75, 75), None, drained=True, killed=False)
FAILED = LaunchExit((1, -15), 0, drained=False, killed=True)


class NoProcesses:
    """A launcher that starts no process, and remembers what it was asked for."""

    is_ready = True

    def __init__(self) -> None:
        self.callbacks: dict[str, Any] = {}
        self.specs: list[LaunchSpec] = []
        self.drained: list[int] = []
        self.grace_s: list[float] = []
        self.deadlines: list[tuple[float, float]] = []
        self.followed: list[tuple[Any, ...]] = []
        self.is_closed = False
        self._handles = itertools.count(FIRST)

    def make(self, **callbacks: Any) -> NoProcesses:
        self.callbacks = callbacks
        return self

    def launch(self, spec: LaunchSpec) -> int:
        self.specs.append(spec)
        return next(self._handles)

    def drain(self, handle: int, grace_s: float) -> None:
        self.drained.append(handle)
        self.grace_s.append(grace_s)

    def set_deadline(self, drain_at: float, kill_at: float) -> None:
        self.deadlines.append((drain_at, kill_at))

    def follow(self, *known: Any) -> None:
        self.followed.append(known)

    def close(self, wait: bool) -> None:
        self.is_closed = True

    # What a real one would tell.

    def begin(self, handle: int = FIRST) -> None:
        """The processes of a launch exist."""
        self.callbacks["on_launched"](handle, [os.getpid()], time.monotonic())

    def leave(self, handle: int, index: int) -> None:
        """A process of a launch has exited, while others go on."""
        self.callbacks["on_left"](handle, index)

    def end(self, handle: int, exit_: LaunchExit) -> None:
        """The last process of a launch was reaped."""
        self.callbacks["on_exit"](handle, exit_, time.monotonic())


def make_spec(trial: TrialProcesses, devices: Sequence[str]) -> LaunchSpec:
    """A launch with one process for each device."""
    ranks = [RankSpec({"DEVICE": device}, "std.out", "std.err") for device in devices]
    return LaunchSpec(("train.py",), tuple(ranks), warm=False, grace_s=5.0)


def parts_of_fleet(folder: Path) -> dict[str, Any]:
    """Four devices, and what a fleet has beside them, as arguments."""
    events = EventLog(folder / "events.jsonl", time.monotonic)
    checkpoints = Checkpoints(lambda trial_id: folder, lambda trial_id: None, events, False, 0.0)
    checkpoints.experiment = folder
    return {
        "pool": DevicePool([f"cpu{index}" for index in range(4)]),
        "events": events,
        "checkpoints": checkpoints,
        "policy": FailurePolicy(2, 1.0, None, 0.0),
        "grace_s": 5.0,
    }


def make_fleet(folder: Path, launcher: NoProcesses, **options: Any) -> Fleet:
    """A fleet of four devices."""
    return Fleet(make_launcher=launcher.make, make_spec=make_spec, **(parts_of_fleet(folder) | options))


def make_state(folder: Path, launcher: NoProcesses | None = None, **options: Any) -> FleetState:
    """The state of a fleet of four devices."""
    launches = Launches((launcher or NoProcesses()).make)
    return FleetState(launches=launches, **(parts_of_fleet(folder) | options))


def make_trial(folder: Path, trial_id: int = 0) -> TrialProcesses:
    return TrialProcesses(trial_id, folder / "std.out", folder / "std.err")


def read_events(folder: Path, *names: str) -> list[dict[str, Any]]:
    """The events of some names, or all."""
    events = map(json.loads, (folder / "events.jsonl").read_text().splitlines())
    return [event for event in events if not names or event["event"] in names]


class Running:
    """A fleet with a trial on two of four devices, whose script has said that processes may join and leave."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.launcher = NoProcesses()
        self.fleet = make_fleet(folder, self.launcher, **options)
        self.trial = make_trial(folder)
        self.fleet.start(self.trial, 2, "start")
        self.launcher.begin()
        assert self.trial.crew is not None
        assert self.trial.crew.desk is not None
        self.crew, self.desk = self.trial.crew, self.trial.crew.desk
        self.desk.announce()

    def reasons(self, event: str) -> list[str]:
        return [found["reason"] for found in read_events(self.folder, event)]
