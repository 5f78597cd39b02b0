"""What is checked after each step of a fleet, where that is asked for."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from syne_hypersched.backends.local._crew import Crew
from syne_hypersched.backends.local._fleet_checks import VALIDATE, CheckedFleet
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.local._roster import Roster
from syne_hypersched.backends.local._states import IllegalStateError
from syne_hypersched.backends.shared.devices import DevicePool


class Checked(CheckedFleet):
    """A trial that runs on two of four devices."""

    def __init__(self):
        super().__init__()
        self.pool = DevicePool([f"cpu{index}" for index in range(4)])
        self._trials = Roster()
        self._lock = threading.RLock()
        self._by_handle = {9: 0}
        self.trial = TrialProcesses(0, Path("std.out"), Path("std.err"))
        self._trials[0] = self.trial
        self.trial.start(2, order=1)
        self.pool.acquire(0, 2)
        self.trial.begin_launch(2)
        self.trial.crew = Crew(9, ["cpu0", "cpu1"], 2, None)
        self.trial.take_handle(9)
        self._trials.place(self.trial)


@pytest.fixture
def fleet(monkeypatch) -> Checked:
    monkeypatch.setenv(VALIDATE, "1")
    fleet = Checked()
    fleet.check()
    return fleet


def holds_more(fleet):
    fleet.pool.extend(0, 1)


def is_not_active(fleet):
    fleet._trials._active.clear()


def has_unknown_handle(fleet):
    fleet._by_handle[9] = 5


def has_a_forgotten_launch(fleet):
    fleet._by_handle[10] = 0


def others_hold_devices(fleet):
    fleet.pool.acquire(8, 1)


BREAKS = [holds_more, is_not_active, has_unknown_handle, has_a_forgotten_launch, others_hold_devices]


@pytest.mark.parametrize("break_", BREAKS)
def test_a_contradiction_is_a_fault_of_this_package(fleet, break_):
    break_(fleet)
    with pytest.raises(IllegalStateError, match="fault of syne_hypersched"):
        fleet.check()


@pytest.mark.parametrize("break_", BREAKS[:2])
def test_a_step_of_the_tuner_raises_at_its_end(fleet, break_):
    with fleet._step():
        pass
    with pytest.raises(IllegalStateError), fleet._step():
        break_(fleet)


def test_a_step_of_the_launcher_goes_on_and_the_first_fault_is_kept(fleet, caplog):
    with fleet._told():
        others_hold_devices(fleet)
    first = fleet._fault
    assert "hold devices" in str(first)
    assert caplog.messages == [str(first)]
    with fleet._told():
        raise IllegalStateError("another one")
    assert fleet._fault is first
    with fleet._step():
        pass  # what is wrong is known; the tuner raises it when it looks


def test_errors_of_others_are_not_caught(fleet):
    with pytest.raises(KeyError), fleet._told():
        raise KeyError


@pytest.mark.parametrize(("value", "validates"), [(None, False), ("", False), ("0", False), ("1", True)])
def test_nothing_is_checked_unless_it_is_asked_for(monkeypatch, value, validates):
    monkeypatch.delenv(VALIDATE) if value is None else monkeypatch.setenv(VALIDATE, value)
    fleet = Checked()
    others_hold_devices(fleet)
    if validates:
        with pytest.raises(IllegalStateError), fleet._step():
            pass
    else:
        with fleet._step():
            pass


def test_the_lock_is_held_during_a_step(fleet):
    free = []
    with fleet._step():
        thread = threading.Thread(target=lambda: free.append(fleet._lock.acquire(blocking=False)))
        thread.start()
        thread.join()
    assert free == [False]
