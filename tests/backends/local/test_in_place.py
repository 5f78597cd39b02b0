"""Trials that get more and fewer devices while they train, with real processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
from syne_tune.backend.trial_status import Status

from syne_hypersched.contract import ST_DEVICE_TIME, ST_LAUNCH, ST_NUM_DEVICES, ST_RESIZE_PAUSE_S, ST_WORKER_TIME
from tests.backends.local.trials import Trials
from tests.installed import skip_without

skip_without("torch")

pytestmark = pytest.mark.usefixtures("no_process_left")

SCRIPT = """
import argparse, os, pathlib, sys, time
import torch
from torch import nn
from torch.utils.data import TensorDataset
from syne_hypersched.training import ElasticRun

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=100000)
parser.add_argument("--fail_on_rank", type=int, default=-1)
parser.add_argument("--hang_on_rank", type=int, default=-1)
parser.add_argument("--sharded", type=int, default=0)
parser.add_argument("--st_checkpoint_dir")
args = parser.parse_args()
rank = int(os.environ.get("RANK", 0))
with ElasticRun(args.st_checkpoint_dir) as run:
    if rank == args.fail_on_rank:
        sys.exit("this rank has a fault")
    if rank == args.hang_on_rank:
        print("hangs", flush=True)
        time.sleep(1000)
    data = TensorDataset(torch.arange(32.0).reshape(32, 1))
    model = run.wrap(nn.Sequential(nn.Linear(1, 1)), shard_units=(nn.Linear,) if args.sharded else None)
    run.track(optimizer=torch.optim.Adam(model.parameters(), lr=1e-3))
    batches = run.loader(data, 8)
    pid = os.getpid()
    for epoch in run.epochs(args.epochs):
        for (x,) in batches:
            time.sleep(0.01)
            run.step(model(x).square().mean())
            run.add(mean=x.mean())
        if run.report(pid=pid, devices=run.num_devices)["mean"] != 15.5:
            raise RuntimeError("samples were missed or counted twice")
"""


@pytest.fixture
def make_trials(tmp_path, wait_for):
    made = []

    def make(script=SCRIPT, **options):
        made.append(Trials(tmp_path, script, wait_for, **({"resize": "auto", "grace_s": 20.0} | options)))
        return made[-1]

    yield make
    for trials in made:
        trials.backend.stop_all()


def until_on(trials: Trials, num_devices: int, trial_id: int = 0) -> dict:
    """Polls until a trial has made a report on a number of devices; returns the report."""
    before = len(trials.reports)

    def found() -> list[dict]:
        return [
            report
            for report in trials.reports[before:]
            if report[ST_NUM_DEVICES] == report["devices"] == num_devices and report["trial"] == trial_id
        ]

    for report in trials.reports:
        report.setdefault("trial", trial_id)

    def reported() -> bool:
        for report in trials.reports:
            report.setdefault("trial", trial_id)
        return bool(found())

    trials.until(reported)
    return found()[0]


def test_a_trial_grows_moves_to_another_device_and_shrinks_in_the_same_process(make_trials):
    trials = make_trials(num_devices=3)
    trial = trials.start()
    first = until_on(trials, 1)
    trial.resize(2)
    grown = until_on(trials, 2)
    pool = trials.backend._fleet.pool
    assert pool.num_free == 1
    since = grown[ST_WORKER_TIME] - first[ST_WORKER_TIME]
    gained = grown[ST_DEVICE_TIME] - first[ST_DEVICE_TIME]
    assert since < gained < 2 * since, "seconds of devices count from the moment of the change"

    leads, goes = (seat.device for seat in trials.backend._fleet.processes(0).crew.seats)
    (free,) = pool.free
    trials.backend.set_devices_present([leads, free], "a guest")
    trials.until(lambda: len(trials.events("joined")) == 2)
    until_on(trials, 2)
    assert set(pool.held_by(0)) == {leads, free}
    assert pool.retiring == ()
    assert goes in trials.events("freed")[0].devices

    trial.resize(1)
    until_on(trials, 1)
    trials.until(lambda: len(trials.events("left")) == 2)
    assert pool.num_free == 1
    trials.backend.stop_all()
    assert len({report["pid"] for report in trials.reports}) == 1, "rank 0 has stayed"
    assert {report[ST_LAUNCH] for report in trials.reports} == {0}
    assert trials.epochs[0] == list(range(1, len(trials.reports) + 1))
    names = [event.event for event in trials.events("launch", "prepare", "ready", "joined", "left", "exit")]
    assert names == ["launch", *("prepare", "ready", "joined"), "left", *("prepare", "ready", "joined"), "left", "exit"]
    names = [event.event for event in trials.events("joined", "retire", "left", "freed", "drain", "launch")]
    assert names[:6] == ["launch", "joined", "retire", "left", "freed", "joined"]
    joined, moved_away, left = trials.events("joined")[0], *trials.events("left")
    assert len(joined.devices) == 2
    assert moved_away.devices == (leads,)
    assert joined.details["pause_s"] > 0
    assert joined.details["change_s"] >= joined.details["pause_s"] >= joined.details["transfer_s"] > 0
    assert len(left.devices) == 1
    assert trials.events("ready")[0].details["prepare_s"] > 0
    with_pause = [report for report in trials.reports if ST_RESIZE_PAUSE_S in report]
    assert len(with_pause) in (3, 4), "both changes of a move may fall into one epoch"


@pytest.mark.slow
def test_devices_that_are_left_go_to_another_trial(make_trials):
    trials = make_trials()
    trial = trials.start()
    until_on(trials, 1)
    trial.resize(2)
    until_on(trials, 2)
    trial.resize(1)
    other = trials.start()
    trials.until(lambda: trials.epochs[other.trial_id])
    assert trial.num_devices == other.num_devices == 1
    events = [(event.event, event.trial_id) for event in trials.events("left", "launch")]
    assert events == [("launch", 0), ("left", 0), ("launch", 1)]
    left, launched = trials.events("left")[0], trials.events("launch")[-1]
    assert not set(left.devices) & set(launched.devices)


@pytest.mark.slow
def test_a_script_that_cannot_is_launched_again(make_trials, caplog):
    trials = make_trials(resize="in_place")
    trial = trials.start(sharded=1)
    trials.until(lambda: trials.reports)
    trial.resize(2)
    trials.until(lambda: trials.reports[-1][ST_NUM_DEVICES] == 2)
    assert [event.reason for event in trials.events("drain")] == ["resize"]
    assert caplog.text.count("although resize is 'in_place'") == 1


@pytest.mark.slow
def test_new_processes_that_fail_cost_nothing(make_trials):
    trials = make_trials()
    trial = trials.start(fail_on_rank=1)
    until_on(trials, 1)
    trial.resize(2)
    trials.until(lambda: trials.events("abandon"))
    assert "exit code 1" in trials.events("abandon")[0].reason
    assert (trial.num_devices, trial.max_num_devices) == (1, 1)
    num_reports = len(trials.reports)
    trials.until(lambda: len(trials.reports) > num_reports)
    assert {report[ST_LAUNCH] for report in trials.reports} == {0}
    assert trials.backend._fleet.pool.num_free == 1
    assert not trials.events("drain", "retry")


def preparing(trials):
    """A trial that is to grow, and the process that gets ready to join it, and hangs."""
    trial = trials.start(hang_on_rank=1)
    until_on(trials, 1)
    trial.resize(2)
    trials.wait_for(lambda: trials.events("prepare"))
    (pid,) = trials.events("prepare")[0].details["pids"]
    assert trials.backend._fleet.pool.num_free == 0, "devices that are prepared are held"
    return trial, pid


def test_a_pause_ends_a_preparation_and_a_process_that_is_lost_after_it_joined_is_launched_again(make_trials):
    """The two tests below in one, with one import of PyTorch."""
    trials = make_trials(retry_backoff_s=0.0)
    trial, pid = preparing(trials)
    trials.backend.pause_trial(0)
    trials.wait_for(lambda: trials.events("exit"))
    assert trials.events("exit")[0].details["how"] == "drained"
    assert not psutil.pid_exists(pid)

    trial = trials.backend.resume_trial(0, {"hang_on_rank": -1})
    trials.until(lambda: trials.reports[-1][ST_LAUNCH] == 1)  # the first launch may have had more to report
    trial.resize(2)
    until_on(trials, 2)
    (pid,) = trials.events("prepare")[1].details["pids"]
    os.kill(pid, signal.SIGKILL)
    trials.until(lambda: trials.reports[-1][ST_LAUNCH] == 2)
    assert trials.reports[-1][ST_NUM_DEVICES] == 2
    assert trials.epochs[0] == list(range(1, len(trials.reports) + 1)), "nothing doubled, nothing lost"
    assert len(trials.events("exit")) == 2


@pytest.mark.slow
@pytest.mark.parametrize("end", ["pause", "newer wish", "stop", "deadline", "stop_all"])
def test_a_preparation_is_ended_cleanly(make_trials, end):
    trials = make_trials()
    trial, pid = preparing(trials)
    if end == "newer wish":
        trial.resize(1)
        trials.until(lambda: trials.events("abandon"))
        assert trials.backend._fleet.pool.num_free == 1
        num_reports = len(trials.reports)
        trials.until(lambda: len(trials.reports) > num_reports)
    elif end == "pause":
        trials.backend.pause_trial(0)
        trials.wait_for(lambda: trials.events("exit"))
        assert trials.events("exit")[0].details["how"] == "drained"
        trials.backend.resume_trial(0)
        num_reports = len(trials.reports)
        trials.until(lambda: len(trials.reports) > num_reports)
    elif end == "stop":
        trials.backend.stop_trial(0)
        trials.wait_for(lambda: trials.events("exit"))
    elif end == "deadline":
        trials.backend.set_deadline(seconds_left=20.0, drain_s=20.0)
        trials.until(lambda: trials.events("exit"))
    trials.backend.stop_all()
    assert not psutil.pid_exists(pid)
    assert trials.epochs[0] == list(range(1, len(trials.reports) + 1))


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["rank 1", "rank 0", "supervisor", "server"])
def test_processes_that_are_lost_after_they_joined_are_launched_again(make_trials, victim):
    trials = make_trials(retry_backoff_s=0.0)
    trial = trials.start()
    until_on(trials, 1)
    trial.resize(2)
    until_on(trials, 2)
    (first,), (second,) = (trials.events(name)[0].details["pids"] for name in ("launch", "prepare"))
    server = psutil.Process(second).parent().parent()
    pid = {"rank 0": first, "rank 1": second, "server": server.pid}.get(victim, psutil.Process(second).ppid())
    os.kill(pid, signal.SIGKILL)
    trials.until(lambda: trials.reports[-1][ST_LAUNCH] == 1)
    assert trials.reports[-1][ST_NUM_DEVICES] == 2
    assert trials.epochs[0] == list(range(1, len(trials.reports) + 1)), "nothing doubled, nothing lost"
    assert len(trials.events("exit")) == 1


def test_a_resize_mode_must_be_known(make_trials):
    with pytest.raises(ValueError, match='resize must be "auto", "in_place" or'):
        make_trials(resize="quickly")


@pytest.mark.slow
def test_a_trial_that_has_grown_completes(make_trials):
    trials = make_trials()
    trial = trials.start(epochs=100)
    until_on(trials, 1)
    trial.resize(2)
    until_on(trials, 2)
    assert trials.until_ended() == Status.completed
    assert trials.epochs[0] == list(range(1, 101))
    (exited,) = trials.events("exit")
    assert exited.details["exit_codes"] == [0, 0]
    assert Path(trials.folder / "0").exists()
