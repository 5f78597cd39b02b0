"""Devices that come and go while processes run on them."""

from __future__ import annotations

import psutil
import pytest

from tests.backends.local.test_fleet import SCRIPT
from tests.backends.local.trials import Trials

pytestmark = pytest.mark.usefixtures("no_process_left")


@pytest.fixture
def make_trials(tmp_path, wait_for):
    made = []

    def make(script=SCRIPT, **options):
        made.append(Trials(tmp_path, script, wait_for, **options))
        return made[-1]

    yield make
    for trials in made:
        trials.backend.stop_all()


def consecutive(trials):
    """Whether no report of any trial is missing or doubled."""
    return all(epochs == list(range(1, len(epochs) + 1)) for epochs in trials.epochs.values())


def end(trials):
    """Ends a trial that SIGTERM does not end."""
    trials.backend._fleet.devices.lose(trials.backend._fleet.pool.present, "the test is over")
    trials.until(lambda: not trials.backend._fleet.pool.holders)


def test_a_device_that_retires_is_free_after_a_drain_and_its_trial_waits(make_trials):
    trials = make_trials()
    trials.start(), trials.start()
    trials.until(lambda: all(len(epochs) >= 2 for epochs in trials.epochs.values()))
    trials.backend._fleet.devices.set_present(1, "another job")
    trials.until(lambda: trials.events("freed"))
    [retired], [drain] = trials.events("retire"), trials.events("drain")
    assert (retired.reason, retired.details["present"], drain.reason) == ("another job", 1, "pool")
    assert trials.backend._fleet.pool.free == ()
    waiting, running = drain.trial_id, 1 - drain.trial_id
    trials.poll()  # with all that the drained trial has reported
    reported = len(trials.epochs[waiting])
    trials.until(lambda: len(trials.epochs[running]) >= 10)
    assert len(trials.epochs[waiting]) == reported
    assert trials.status == {0: "InProgress", 1: "InProgress"}
    assert trials.reports[-1]["st_devices_present"] == 1
    trials.backend._fleet.devices.set_present(2, "the other job is over")
    trials.until(lambda: len(trials.epochs[waiting]) >= reported + 3)
    assert consecutive(trials)
    assert "st_devices_present" not in trials.reports[-1]


def test_a_trial_with_several_devices_goes_on_on_what_is_left(make_trials):
    trials = make_trials(num_devices=3)
    trial = trials.start()
    trials.until(lambda: trials.reports)
    trial.resize(3)
    trials.until(lambda: trials.reports[-1]["st_num_devices"] == 3)
    trials.backend._fleet.devices.set_present(["cpu0", "cpu2"], "")
    trials.until(lambda: trials.reports[-1]["st_num_devices"] == 2)
    assert trials.events("launch")[-1].devices == ("cpu0", "cpu2")
    assert trial.num_devices == 3, "the wish stays"
    trials.backend._fleet.devices.set_present(3, "")
    trials.until(lambda: trials.reports[-1]["st_num_devices"] == 3)
    assert consecutive(trials)
    assert [event.reason for event in trials.events("exit")] == ["resize", "pool", "resize"]


def test_a_new_trial_starts_on_what_is_there(make_trials):
    trials = make_trials(num_devices_per_trial=2)
    trials.backend._fleet.devices.set_present(1, "")
    trials.start()
    trials.until(lambda: trials.reports)
    assert trials.reports[0]["st_num_devices"] == 1
    end(trials)


def test_what_runs_on_a_lost_device_is_killed_at_once_and_goes_on_elsewhere(make_trials):
    stubborn = SCRIPT.replace(
        "report = Reporter()", "report = Reporter(); signal.signal(signal.SIGTERM, lambda *_: None)"
    )
    trials = make_trials(stubborn, grace_s=600.0)
    trials.start()
    trials.until(lambda: len(trials.reports) >= 3)
    [launch] = trials.events("launch")
    trials.backend._fleet.devices.lose(launch.devices, "Xid 79", broken=True)
    trials.until(lambda: len(trials.events("launch")) == 2)
    assert not any(psutil.pid_exists(pid) for pid in launch.details["pids"])
    assert trials.events("launch")[1].devices != launch.devices
    seen = len(trials.reports)
    trials.until(lambda: len(trials.reports) >= seen + 3)
    assert consecutive(trials)
    assert trials.ends() == ["killed"]
    trials.backend._fleet.devices.set_present(2, "")
    assert trials.backend._fleet.pool.num_present == 1, "a broken device does not come back"
    end(trials)


def test_a_drain_that_takes_long_is_cut_short_when_the_device_is_lost(make_trials):
    stubborn = SCRIPT.replace(
        "report = Reporter()", "report = Reporter(); signal.signal(signal.SIGTERM, lambda *_: None)"
    )
    trials = make_trials(stubborn, grace_s=600.0, num_devices=1)
    trials.start()
    trials.until(lambda: trials.reports)
    trials.backend._fleet.devices.set_present(0, "")
    trials.until(lambda: trials.events("drain"))
    trials.backend._fleet.devices.lose(["cpu0"], "gone")
    trials.until(lambda: trials.events("freed"))
    assert trials.ends() == ["killed"]
    trials.backend._fleet.devices.set_present(1, "")
    seen = len(trials.reports)
    trials.until(lambda: len(trials.reports) >= seen + 2)
    assert consecutive(trials)
    end(trials)


def test_a_node_that_is_shut_gets_no_launch_and_what_runs_there_goes_on(make_trials):
    trials = make_trials(num_devices=3)
    fleet = trials.backend._fleet
    trial = trials.start()
    trials.until(lambda: len(trials.epochs[0]) >= 2)
    fleet.devices.shut("", True, "its disk is full", free_mb=7.0)
    other = trials.start()
    reported = len(trials.epochs[0])
    trials.until(lambda: len(trials.epochs[0]) >= reported + 5)
    assert not trials.epochs[1]
    assert (trial.num_devices, other.num_devices) == (1, 1)
    fleet.devices.shut("", False, "")
    trials.until(lambda: len(trials.epochs[1]) >= 2)
    [shut], [reopened] = trials.events("shut"), trials.events("reopen")
    assert (shut.reason, shut.details["free_mb"], len(shut.devices)) == ("its disk is full", 7.0, 3)
    assert len(reopened.devices) == 3
    assert [event.event for event in trials.events("drain")] == []
    assert consecutive(trials)
    end(trials)
