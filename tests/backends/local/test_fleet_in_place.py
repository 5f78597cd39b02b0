"""Changes in place when no launch begins any more, without processes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NoReturn

import pytest

from syne_hypersched._resize_desk import RankChange, ResizeDesk
from syne_hypersched.backends.local._checkpoints import Checkpoints
from syne_hypersched.backends.local._crew import Crew
from syne_hypersched.backends.local._failures import FailurePolicy
from syne_hypersched.backends.local._fleet import Fleet
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.events import EventLog
from syne_hypersched.backends.shared.reconcile import Phase


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
    running.fleet.wish(0, 1)
    assert running.desk.pending() == RankChange(0, 2, 1)
    assert running.trial.phase is Phase.CHANGING


def test_a_trial_no_longer_grows_in_place_when_the_drain_has_begun(running):
    running.fleet.wish(0, 3)
    assert running.desk.pending() is None
    assert running.trial.phase is Phase.RUNNING
    assert len(running.fleet.pool.held_by(0)) == 2
