"""What the launcher tells, and what becomes of it."""

from __future__ import annotations

import threading

import pytest
from syne_tune.backend.trial_status import Status

from syne_hypersched import ElasticLocalBackend
from syne_hypersched._resize_desk import ChangeOutcome
from syne_hypersched.checkpoints import Beginning
from tests.backends.local.fleets import COMPLETED, DRAINED, FIRST, NoProcesses, Running, make_fleet, make_trial
from tests.backends.local.fleets import read_events as events_in
from tests.backends.local.test_device_changes import end
from tests.backends.local.test_device_changes import make_trials as make_trials

NEW = FIRST + 1


def test_the_processes_of_a_launch_and_those_that_get_ready_are_told_apart(tmp_path):
    running = Running(tmp_path)
    (launch,) = events_in(tmp_path, "launch")
    assert launch["devices"] == ["cpu0", "cpu1"]
    assert launch["wait_s"] >= 0.0
    assert len(launch["pids"]) == len(launch["start_ticks"]) == 1
    running.fleet.wish_devices(0, 3)
    running.launcher.begin(NEW)
    (prepare,) = events_in(tmp_path, "prepare")
    assert (prepare["to"], len(prepare["pids"])) == (3, 1)
    assert len(events_in(tmp_path, "launch")) == 1


def test_the_import_of_what_is_preloaded_is_no_cost_of_the_launch(tmp_path):
    launcher = NoProcesses()
    launcher.is_ready = False
    fleet = make_fleet(tmp_path, launcher)
    trial = make_trial(tmp_path)
    fleet.start(trial, 1, "start")
    assert trial.waits_for_server
    before = trial.clock.answers_to
    launcher.begin()
    assert not trial.waits_for_server
    assert trial.clock.answers_to > before


def test_where_a_launch_begins_is_recorded(tmp_path):
    running = Running(tmp_path)
    running.launcher.callbacks["on_checkpoint"](FIRST, Beginning(restored="it was torn", generation=3))
    (restore,) = events_in(tmp_path, "restore")
    assert (restore["reason"], restore["generation"]) == ("it was torn", 3)


def test_a_process_that_was_to_leave_has_left_and_another_one_is_not_missed(tmp_path):
    running = Running(tmp_path)
    running.fleet.wish_devices(0, 1)
    change = running.desk.pending()
    assert running.desk.take(change)
    running.desk.answer(ChangeOutcome(0, True))
    running.launcher.leave(FIRST, 7)
    running.launcher.leave(100, 0)
    assert running.fleet.pool.num_held(0) == 2
    running.launcher.leave(FIRST, 1)
    assert running.fleet.pool.num_held(0) == 1


def test_the_end_of_a_launch_frees_devices_for_trials_that_wait(tmp_path):
    running = Running(tmp_path)
    running.fleet.start(make_trial(tmp_path, 1), 2, "start")
    running.fleet.halt(0, Status.paused)
    running.fleet.start(make_trial(tmp_path, 2), 2, "start")
    assert len(running.launcher.specs) == 2
    running.launcher.end(FIRST, DRAINED)
    assert len(running.launcher.specs) == 3
    assert running.fleet.is_idle(0)


def test_a_tuner_that_waits_for_the_end_of_all_is_woken(tmp_path, wait_for):
    running = Running(tmp_path)
    stopped = threading.Thread(target=running.fleet.stop_all)
    stopped.start()
    wait_for(lambda: running.launcher.drained)
    running.launcher.end(FIRST, DRAINED)
    stopped.join()
    assert running.launcher.is_closed


def test_a_fault_in_a_callback_is_kept_for_the_tuner(tmp_path):
    running = Running(tmp_path)
    running.trial.handle = None
    running.launcher.end(FIRST, COMPLETED)
    with pytest.raises(RuntimeError, match="fault of syne_hypersched"):
        running.fleet.poll([0])


@pytest.mark.usefixtures("no_process_left")
def test_a_launch_on_a_machine_with_another_clock_says_so(make_trials, monkeypatch):
    make_spec = ElasticLocalBackend._spec

    def with_clock(backend, trial, devices):
        trial.reports.stream.clock_ahead_s = -7.5 if devices == ("cpu0",) else 0.0
        return make_spec(backend, trial, devices)

    monkeypatch.setattr(ElasticLocalBackend, "_spec", with_clock)
    trials = make_trials(num_devices=2)
    trials.start(), trials.start()
    trials.until(lambda: all(trials.epochs.values()) and len(trials.epochs) == 2)
    clocks = {event.devices: event.details.get("clock_ahead_s") for event in trials.events("launch")}
    assert clocks == {("cpu0",): -7.5, ("cpu1",): None}
    end(trials)
