"""Trials whose launches fail, with real processes: retries, final failures, and messages to the user."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from dataclasses import replace

import psutil
import pytest
from syne_tune.backend.trial_status import Status

from syne_hypersched.checkpoints import room as room_module
from syne_hypersched.contract import LimitedTrial
from syne_hypersched.experiments import check_devices
from tests.backends.local.trials import Trials

pytestmark = pytest.mark.usefixtures("no_process_left")

SCRIPT = """
import argparse, json, os, signal, sys, time
from pathlib import Path
from tests.reporter import Reporter

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=1000)
parser.add_argument("--fault", default="")     # what happens
parser.add_argument("--at", type=int, default=1)       # in this epoch, -1: in all
parser.add_argument("--times", type=int, default=1)    # number of launches
parser.add_argument("--num_devices", type=int, default=0)  # devices of each of them, if it is not 0
parser.add_argument("--st_checkpoint_dir", type=Path)
args = parser.parse_args()
folder = args.st_checkpoint_dir
folder.mkdir(parents=True, exist_ok=True)
rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))

def meet(epoch):
    '''Returns when all ranks have called it, as a collective does.'''
    (folder / f"met{world_size}.{epoch}.{rank}").touch()
    while len(list(folder.glob(f"met{world_size}.{epoch}.*"))) < world_size:
        time.sleep(0.005)

def has_fault(epoch):
    if args.at not in (-1, epoch) or args.num_devices not in (0, world_size) or rank != world_size - 1:
        return False
    count = len(list(folder.glob("fault*")))
    (folder / f"fault{count}").touch()
    return count < args.times

checkpoint = folder / "epoch.json"
done = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
report = Reporter()
for epoch in range(done + 1, args.epochs + 1):
    time.sleep(0.02)
    if has_fault(epoch):
        if args.fault == "exit":
            sys.exit("a fault")
        if args.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if args.fault == "stall":
            time.sleep(1000)
        if args.fault == "arguments":
            parser.error("no such thing")
        if args.fault == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(1000)
    meet(epoch)
    if rank == 0:
        report(epoch=epoch)
        checkpoint.with_suffix(".new").write_text(json.dumps(epoch))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)
"""


@pytest.fixture
def make_trials(tmp_path, wait_for):
    made = []

    def make(**options):
        made.append(Trials(tmp_path, SCRIPT, wait_for, **({"retry_backoff_s": 0.05} | options)))
        return made[-1]

    yield make
    for trials in made:
        trials.backend.stop_all()
        assert trials.backend.busy_trial_ids() == []
        assert check_devices(trials.events("launch", "exit"), trials.backend.devices.names) == ()


@pytest.mark.parametrize("fault", [pytest.param("exit", marks=pytest.mark.slow), "kill"])
def test_a_trial_that_fails_goes_on_from_its_checkpoint(make_trials, caplog, fault):
    trials = make_trials()
    trials.start(epochs=6, fault=fault, at=4, times=2)
    assert trials.until_ended() == Status.completed
    assert trials.epochs[0] == [1, 2, 3, 4, 5, 6]
    assert trials.ends() == ["failed", "failed", "completed"]
    first, second = trials.events("retry")
    assert (first.reason, first.launch, first.details["backoff_s"]) == ("retry 1 of 2", 0, 0.05)
    assert (second.reason, second.launch, second.details["backoff_s"]) == ("retry 2 of 2", 1, 0.1)
    assert first.details["exit_code"] == {"exit": 1, "kill": -signal.SIGKILL}[fault]
    assert first.details["log"] in caplog.text
    assert "It goes on from its checkpoint in 0.1 s, retry 2 of 2" in caplog.text
    # A launch cost is measured from the moment when the launch was due.
    assert all(event.details["signal_to_report_s"] < 10 for event in trials.events("first_report"))


def test_a_trial_is_reported_as_failed_only_after_its_retries(make_trials, caplog):
    trials = make_trials(retries=1)
    trials.start(epochs=6, fault="exit", at=4, times=99)
    trials.until(lambda: trials.events("retry"))
    assert trials.status[0] == Status.in_progress
    assert trials.until_ended() == Status.failed
    assert trials.epochs[0] == [1, 2, 3]
    assert trials.ends() == ["failed", "failed"]
    assert [event.event for event in trials.events("retry", "fail")] == ["retry", "fail"]
    assert "Trial 0 failed with exit code 1 in launch 1 (no new report after 1 retry)" in caplog.text


def test_arguments_that_are_refused_are_not_tried_again(make_trials, caplog):
    trials = make_trials()
    trials.start(fault="arguments")
    assert trials.until_ended() == Status.failed
    assert trials.ends() == ["failed"]
    assert "exit code 2 in launch 0 (its program seems to refuse its arguments)" in caplog.text


@pytest.mark.parametrize("fault", ["exit", pytest.param("kill", marks=pytest.mark.slow)])
def test_a_rank_that_dies_while_another_waits_for_it_restarts_the_trial(make_trials, fault):
    trials = make_trials(num_devices_per_trial=2)
    trials.start(epochs=6, fault=fault, at=4)
    assert trials.until_ended() == Status.completed
    assert trials.epochs[0] == [1, 2, 3, 4, 5, 6]
    assert trials.ends() == ["failed", "completed"]


def until_drained_as_stalled(trials, number=0):
    """Returns when the launch whose fault has this number is ended. A launch that needs its time to report is not."""
    trials.until((trials.backend.checkpoint_trial_path(0) / f"fault{number}").exists)
    state = trials.backend._fleet._state
    patient = state.policy
    state.policy = replace(patient, stall_timeout_s=0.5)
    trials.until(lambda: len(trials.events("drain")) > number)
    state.policy = patient


@pytest.mark.parametrize("fault", [pytest.param("stall", marks=pytest.mark.slow), "deaf"])
def test_a_trial_that_stalls_is_ended_and_goes_on(make_trials, caplog, fault):
    trials = make_trials(stall_timeout_s=600.0, grace_s=0.5)
    trials.start(epochs=6, fault=fault, at=4)
    until_drained_as_stalled(trials)
    assert trials.until_ended() == Status.completed
    assert trials.epochs[0] == [1, 2, 3, 4, 5, 6]
    assert trials.ends() == ["stalled", "completed"]
    assert {drain.reason for drain in trials.events("drain")} == {"stall"}
    assert re.search(r"Trial 0 has not reported for \d", caplog.text)


def test_a_trial_that_stalls_again_and_again_fails(make_trials):
    trials = make_trials(stall_timeout_s=600.0, grace_s=0.5, retries=1)
    trials.start(fault="stall", at=3, times=99)
    for number in range(2):
        until_drained_as_stalled(trials, number)
    assert trials.until_ended() == Status.failed
    assert trials.ends() == ["stalled", "stalled"]
    assert len(trials.events("retry")) == 1
    assert trials.epochs[0] == [1, 2]


def test_a_trial_that_is_paused_while_it_stalls_is_paused(make_trials):
    trials = make_trials(stall_timeout_s=600.0, grace_s=0.5)
    trials.start(fault="deaf", at=3)
    until_drained_as_stalled(trials)
    trials.backend.pause_trial(0)
    trials.wait_for(lambda: trials.events("exit"))
    trials.poll()
    assert trials.status[0] == Status.paused
    assert trials.events("retry", "fail") == []


@pytest.mark.parametrize("retries", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_trial_that_cannot_run_on_more_devices_goes_back_and_stays(make_trials, caplog, retries):
    trials = make_trials(retries=retries)
    trial = trials.start(fault="exit", at=-1, times=99, num_devices=2)
    assert isinstance(trial, LimitedTrial)
    trials.until(lambda: len(trials.epochs[0]) >= 3)
    assert trial.max_num_devices is None
    trial.resize(2)
    assert trial.num_devices == 2
    trials.until(lambda: trials.events("retry"))
    assert (trial.num_devices, trial.max_num_devices) == (1, 1)
    count = len(trials.epochs[0])
    trials.until(lambda: len(trials.epochs[0]) > count)
    trial.resize(2)
    trials.until(lambda: len(trials.epochs[0]) > count + 5)
    assert trial.num_devices == 1
    assert trials.ends() == ["drained", "failed"]
    (refused,) = trials.events("refuse")
    assert refused.reason == "1 -> 2: it has failed on 2"
    assert trials.epochs[0] == list(range(1, len(trials.epochs[0]) + 1))
    assert "it fails on 2 devices and goes back to 1" in caplog.text
    assert trials.status[0] == Status.in_progress


def test_the_devices_of_a_trial_that_waits_for_its_retry_are_kept_for_it(make_trials):
    trials = make_trials(num_devices=2, retry_backoff_s=1.0)
    trials.start(fault="exit", at=3)
    other = trials.start()
    trials.until(lambda: trials.events("retry"))
    other.resize(2)
    trials.until(lambda: trials.epochs[0] and trials.epochs[0][-1] >= 6)
    assert {len(event.devices) for event in trials.events("launch")} == {1}
    assert trials.events("drain") == []


def test_a_trial_that_is_stopped_before_its_retry_is_not_launched(make_trials):
    trials = make_trials(retry_backoff_s=600.0)
    trials.start(fault="exit", at=3)
    trials.until(lambda: trials.events("retry"))
    trials.backend.stop_trial(0)
    trials.backend._fleet.processes(0).clock.launch_at = time.monotonic()
    trials.poll()
    assert trials.status[0] == Status.stopped
    assert trials.ends() == ["failed"]
    assert len(trials.events("launch")) == 1


def test_a_trial_that_is_paused_before_its_retry_can_be_resumed(make_trials):
    trials = make_trials(retry_backoff_s=100.0)
    trials.start(epochs=6, fault="exit", at=3)
    trials.until(lambda: trials.events("retry"))
    trials.backend.pause_trial(0)
    trials.backend.resume_trial(0)  # which is an order, and need not wait
    assert trials.until_ended() == Status.completed
    assert trials.epochs[0] == [1, 2, 3, 4, 5, 6]


def test_without_a_resource_level_a_trial_that_has_reported_is_not_retried(make_trials, caplog):
    trials = make_trials(time_attr=None)
    trials.start(fault="exit", at=3)
    assert trials.until_ended() == Status.failed
    assert trials.epochs[0] == [1, 2]
    assert "it is not retried, since time_attr is not known" in caplog.text


def test_trials_wait_for_room_on_the_disk(make_trials, monkeypatch, caplog):
    room = {"free": 99.0}
    monkeypatch.setattr(room_module, "free_mb", lambda folder: room["free"])
    trials = make_trials()
    trials.start(epochs=2)
    trials.start(epochs=2)
    trials.poll()
    trials.poll()
    assert trials.events("launch") == []
    assert caplog.text.count("99 MB can be written to") == 1
    assert str(trials.folder) in caplog.text
    (event,) = trials.events("wait")
    assert (event.reason, event.details["free_mb"]) == ("no room for checkpoints", 99.0)
    room["free"] = 100.0
    assert trials.until_ended(0) == trials.until_ended(1) == Status.completed


def test_a_trial_that_is_started_on_a_full_disk_waits(make_trials, caplog):
    trials = make_trials(min_free_mb=0)
    folder = trials.folder / "0"
    folder.mkdir(parents=True)
    (folder / "config.json").symlink_to("/dev/full")
    trials.start(epochs=2)
    trials.poll()
    assert trials.status[0] == Status.in_progress
    assert trials.events("launch") == []
    assert "cannot be written to (No space left on device): trials wait until there is room" in caplog.text
    (folder / "config.json").unlink()
    assert trials.until_ended() == Status.completed
    assert trials.epochs[0] == [1, 2]
    assert json.loads((folder / "config.json").read_text()) == {"epochs": 2}


def test_a_folder_that_cannot_be_made_for_another_reason_is_an_error(make_trials):
    trials = make_trials(min_free_mb=0)
    trials.folder.mkdir(parents=True)
    (trials.folder / "0").touch()
    with pytest.raises(FileExistsError):
        trials.backend.start_trial({"epochs": 2})
    assert trials.backend.busy_trial_ids() == []


def test_a_trial_goes_on_when_the_server_dies_in_its_back_off(make_trials, caplog):
    trials = make_trials(retry_backoff_s=0.5)
    trials.start(epochs=6, fault="exit", at=3)
    trials.until(lambda: trials.events("launch"))
    server = psutil.Process(trials.events("launch")[0].details["pids"][0]).parent().parent()
    trials.until(lambda: trials.events("retry"))
    os.kill(server.pid, signal.SIGKILL)
    assert trials.until_ended() == Status.completed
    assert trials.epochs[0] == [1, 2, 3, 4, 5, 6]
    assert caplog.text.count("ended unexpectedly") == 1
