from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

from syne_hypersched.backends.local._failures import Failure, FailurePolicy
from syne_hypersched.backends.local._fleet_view import FleetView
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.local._roster import Roster
from syne_hypersched.backends.shared.devices import DevicePool


class View(FleetView):
    """Trials and devices, without a launcher."""

    def __init__(self, num_devices=4):
        self.pool = DevicePool([f"cpu{index}" for index in range(num_devices)])
        self._trials = Roster()
        self._checkpoints = SimpleNamespace(time_attr="epoch")
        self._lock = threading.RLock()

    def start(self, trial_id, wants) -> TrialProcesses:
        trial = TrialProcesses(trial_id, Path("std.out"), Path("std.err"))
        self._trials[trial_id] = trial
        trial.start(wants, order=trial_id)
        self._trials.place(trial)
        return trial

    def launch(self, trial):
        self.pool.acquire(trial.trial_id, trial.wants)
        trial.begin_launch(trial.wants)
        trial.take_handle(trial.trial_id)


def test_an_unknown_trial_wants_nothing_and_is_idle():
    view = View()
    assert (view.wished_devices(7), view.max_num_devices(7), view.processes(7), view.is_idle(7)) == (
        0,
        None,
        None,
        True,
    )
    assert view.occupied() == []
    assert view.time_attr == "epoch"


def test_devices_are_occupied_from_the_order_on_and_until_the_last_process_has_ended():
    view = View()
    trial = view.start(0, wants=1)
    assert (view.wished_devices(0), view.is_idle(0)) == (1, True)
    assert view.occupied() == [(0, "InProgress")], "promised"
    view.launch(trial)
    assert not view.is_idle(0)
    assert view.processes(0) is trial
    trial.resize(3, order=5)
    assert view.occupied() == [(0, "InProgress")] * 3
    trial.halt("Stopped", "stop", order=6)
    view.start(1, wants=2)
    assert view.occupied() == [(0, "Stopping"), (1, "InProgress"), (1, "InProgress")], "it holds one still"


def test_the_most_devices_are_known_once_more_have_failed():
    view = View()
    trial = view.start(0, wants=2)
    assert view.max_num_devices(0) is None
    trial.failures.report(1)
    trial.failures.fail(Failure(2, 1, "out of memory", True), FailurePolicy(retries=1))
    assert view.max_num_devices(0) == 1
