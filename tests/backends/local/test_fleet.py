"""Trials when servers die, devices are missing, or processes do not end."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest
from syne_tune.backend.trial_status import Status

from syne_hypersched.backends.local import _failures, _fleet_log
from syne_hypersched.backends.local._fleet_state import VALIDATE
from syne_hypersched.backends.local._states import IllegalStateError
from tests.backends.local.trials import Trials

pytestmark = pytest.mark.usefixtures("no_process_left")

SCRIPT = """
import argparse, json, os, signal, sys, time
from pathlib import Path
from tests.reporter import Reporter

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=1000)
parser.add_argument("--fail_on_rank", type=int, default=-2)
parser.add_argument("--leave_at", type=int, default=0)
parser.add_argument("--st_checkpoint_dir", type=Path)
args = parser.parse_args()
rank = int(os.environ.get("RANK", -1))
checkpoint = args.st_checkpoint_dir / "epoch.json"
done = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
report = Reporter()
for epoch in range(done + 1, args.epochs + 1):
    time.sleep(0.03)
    if rank == args.fail_on_rank:
        sys.exit("this rank has a fault")
    if epoch == args.leave_at:
        args.st_checkpoint_dir.mkdir(parents=True, exist_ok=True)
        left = args.st_checkpoint_dir / f"left{len(list(args.st_checkpoint_dir.glob('left*')))}"
        left.touch()
        if left.name in ("left0", "left1") or epoch == 1:
            sys.exit(75)
    report(epoch=epoch, rank=rank, num_cores=len(os.sched_getaffinity(0)))
    if rank <= 0:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.with_suffix(".new").write_text(json.dumps(epoch))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)
"""


def last_rank(trials):
    """The process that was launched last."""
    return psutil.Process(trials.events("launch")[-1].details["pids"][0])


@pytest.fixture
def make_trials(tmp_path, wait_for):
    made = []

    def make(**options):
        made.append(Trials(tmp_path, SCRIPT, wait_for, **options))
        return made[-1]

    yield make
    for trials in made:
        trials.backend.stop_all()


@pytest.mark.parametrize("victim", ["supervisor", "server"])
def test_a_trial_goes_on_when_what_watches_it_is_killed(make_trials, caplog, victim):
    trials = make_trials()
    trials.start(epochs=20)
    trials.until(lambda: len(trials.reports) >= 3)
    supervisor = last_rank(trials).parent()
    os.kill((supervisor if victim == "supervisor" else supervisor.parent()).pid, signal.SIGKILL)
    trials.until(lambda: trials.status[0] == Status.completed)
    assert [report["epoch"] for report in trials.reports] == list(range(1, 21))
    assert [event.details["how"] for event in trials.events("exit")] == ["lost", "completed"]
    assert ("ended unexpectedly" in caplog.text) == (victim == "server")


def test_a_trial_is_trained_when_its_modules_cannot_be_preloaded(make_trials, tmp_path, monkeypatch):
    (tmp_path / "fatal_module.py").write_text("import os; os._exit(3)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    trials = make_trials(preload=["fatal_module"])
    trials.start(epochs=2)
    trials.until(lambda: trials.status[0] == Status.completed)
    assert [report["epoch"] for report in trials.reports] == [1, 2]


def test_a_trial_that_waits_for_devices_at_the_deadline_is_not_launched(make_trials):
    trials = make_trials(num_devices=1)
    trials.start()
    trials.until(lambda: trials.reports)
    trials.backend.pause_trial(0)
    trials.backend.set_deadline(seconds_left=0.0, drain_s=0.0)
    trials.start()
    trials.wait_for(lambda: trials.events("exit"))
    trials.poll()
    assert trials.backend.busy_trial_ids() == []
    assert trials.status[1] == Status.stopped
    trials.backend.stop_all()
    assert [event.trial_id for event in trials.events("launch")] == [0]


def test_a_trial_that_has_ended_leaves_its_status_and_takes_no_more_orders(make_trials):
    trials = make_trials()
    ended, other = trials.start(epochs=1), trials.start(epochs=1)
    trials.until(lambda: set(trials.status.values()) == {Status.completed})
    trials.backend.fetch_status_results([other.trial_id])  # as the tuner does, which has seen the end of the first one
    assert trials.backend._fleet.processes(ended.trial_id) is None
    assert trials.backend._fleet.processes(other.trial_id) is not None
    ended.resize(2)
    trials.backend.stop_trial(ended.trial_id)
    trials.poll()
    assert trials.status[ended.trial_id] == Status.completed
    assert (ended.num_devices, ended.max_num_devices) == (0, None)
    assert trials.epochs == {0: [1], 1: [1]}
    assert len(trials.events("launch")) == 2


def test_what_may_hold_secrets_is_for_the_user_alone(make_trials):
    before = os.umask(0)
    try:
        trials = make_trials(num_devices_per_trial=2, num_devices=4)
        trial = trials.start(epochs=1)
        trials.until(lambda: trials.status[0] == Status.completed)
        trial.publish(trials.reports[0])
        trials.backend.start_trial({"epochs": 1}, checkpoint_trial_id=0)  # whose folder is made for the checkpoint
        trials.backend.stop_all()
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o077 for path in trials.folder.iterdir()}
    assert {"0", "1", "best", "events.jsonl", "preloading.log"} <= set(modes)
    assert set(modes.values()) == {0}
    assert (trials.folder / "0" / "std.rank1.out").stat().st_mode & 0o777 == 0o600


def test_the_log_of_the_rank_that_failed_is_shown(make_trials, caplog):
    trials = make_trials(num_devices_per_trial=2, retries=0)
    trials.start(fail_on_rank=1)
    trials.until(lambda: trials.status[0] == Status.failed)
    (message,) = [record.getMessage() for record in caplog.records if "failed" in record.getMessage()]
    assert "with exit code 1 in launch 0 (rank 1 first)" in message
    assert str(trials.folder / "0" / "std.rank1.err") in message
    assert message.endswith("this rank has a fault")


@pytest.mark.parametrize(("processes", "ranks"), [("per_device", [0, 1]), ("single", [-1])])
def test_one_process_for_each_device_or_for_all(make_trials, processes, ranks):
    trials = make_trials(num_devices_per_trial=2, processes=processes)
    trials.start(epochs=2)
    trials.until(lambda: trials.status[0] == Status.completed)
    assert [(report["rank"], report["st_num_devices"]) for report in trials.reports] == [(ranks[0], 2)] * 2
    assert len(trials.events("launch")[0].details["pids"]) == len(ranks)
    cores = [trials.backend.devices.cores[name] for name in trials.backend.devices.names]
    seen = set(cores[0]) if processes == "per_device" else {core for share in cores for core in share}
    assert trials.reports[0]["num_cores"] == len(seen)


def test_a_trial_that_waits_long_is_a_warning(make_trials, monkeypatch, caplog):
    monkeypatch.setattr(_fleet_log, "PATIENCE_S", 0.1)
    trials = make_trials()
    trial = trials.start()
    trial.resize(2)
    trials.until(lambda: trials.reports and trials.reports[-1]["st_num_devices"] == 2)
    trials.start()
    trials.until(lambda: "Trial 1 has waited" in caplog.text)
    assert "for 1 devices; 0 of 2 are free, the rest is held by trials [0]." in caplog.text
    trials.poll()
    assert caplog.text.count("has waited") == 1


@pytest.mark.slow
def test_a_server_that_is_stuck_is_a_warning(make_trials, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(_fleet_log, "PATIENCE_S", 0.3)
    go = tmp_path / "go"
    (tmp_path / "stuck.py").write_text(
        f"import os, time\nwhile not os.path.exists({str(go)!r}):\n    time.sleep(0.01)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    trials = make_trials(preload=["stuck"], stall_timeout_s=20.0)
    trials.start(epochs=2)
    trials.until(lambda: "Trial 0 was to be launched" in caplog.text)
    trials.poll()
    assert caplog.text.count("the preloading server seems to be stuck in an import") == 1
    go.touch()
    assert trials.until_ended() == Status.completed


@pytest.mark.slow
def test_what_does_not_end_is_a_warning_and_not_waited_for_for_ever(make_trials, monkeypatch, caplog):
    monkeypatch.setattr(_fleet_log, "PATIENCE_S", 3.0)
    trials = make_trials()
    trials.start()
    trials.until(lambda: trials.reports)
    rank = last_rank(trials)
    supervisor = rank.parent()
    server = supervisor.parent()
    supervisor.suspend()  # stands for a process that the kernel does not let go
    started = time.monotonic()
    trials.backend.stop_all()
    assert time.monotonic() - started >= 3.0
    assert "Processes of trial 0 do not end" in caplog.text
    supervisor.resume()
    # Nobody listens any more, and still everything ends.
    trials.wait_for(lambda: not any(process.is_running() for process in (rank, supervisor)))

    def has_ended():
        try:
            return server.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    trials.wait_for(has_ended)


def test_a_backend_can_be_used_again_after_it_was_stopped(make_trials):
    trials = make_trials()
    trials.start()
    trials.until(lambda: trials.reports)
    trials.backend.stop_all()
    trials.backend.stop_all()
    trials.poll()
    assert trials.status == {0: Status.stopped}
    trials.start(epochs=2)
    trials.until(lambda: trials.status[1] == Status.completed)


def test_a_trial_that_is_paused_stays_so_when_all_are_stopped(make_trials):
    trials = make_trials()
    for _ in range(2):
        trials.start()
    trials.until(lambda: all(trials.epochs.values()))
    trials.backend.pause_trial(0)  # its processes are being drained
    trials.backend.stop_all()
    trials.poll()
    assert trials.status == {0: Status.paused, 1: Status.stopped}


def test_a_script_that_leaves_by_itself_is_launched_again(make_trials):
    trials = make_trials()
    trials.start(epochs=6, leave_at=3)
    trials.until(lambda: trials.status[0] == Status.completed)
    assert [report["epoch"] for report in trials.reports] == list(range(1, 7))
    assert [event.details["how"] for event in trials.events("exit")] == ["drained", "drained", "completed"]


def test_a_script_that_does_nothing_but_leave_fails(make_trials, caplog):
    trials = make_trials()
    trials.start(epochs=6, leave_at=1)
    trials.until(lambda: trials.status[0] == Status.failed)
    assert len(trials.events("exit")) == _failures.MAX_INTERRUPTIONS + 1
    assert "failed with exit code 75" in caplog.text
    assert "ended from outside again and again" in caplog.text


@pytest.mark.slow
def test_the_start_of_the_server_is_no_cost_of_a_launch(make_trials, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(1.5)\n")
    trials = make_trials(preload=["slow_to_import"])
    trials.start(epochs=3)
    trials.until(lambda: trials.status[0] == Status.completed)
    (launch,) = trials.events("launch")
    assert launch.details["wait_s"] > 1.5
    assert trials.reports[0]["st_signal_to_report_s"] < launch.details["wait_s"]


def test_a_fault_in_the_launchers_thread_is_raised_where_the_tuner_looks(make_trials, caplog):
    trials = make_trials()
    trials.start()
    trials.until(lambda: trials.reports)
    state = trials.backend._fleet._state
    with state.lock:
        state.trials[0].handle = None
    last_rank(trials).kill()
    trials.wait_for(lambda: state.fault)
    with pytest.raises(IllegalStateError, match=r"(?s)trial 0 is running .*: waiting -> running") as error:
        trials.poll()
    assert str(error.value) in caplog.text


def test_all_that_holds_between_steps_is_checked_in_tests_and_where_the_user_wants_it(make_trials, monkeypatch):
    trials = make_trials()
    trials.start()
    trials.until(lambda: trials.reports)
    fleet, state = trials.backend._fleet, trials.backend._fleet._state
    active, launches = state.trials._active, state.launches.trial_ids
    fleet.check()
    for wrong, what in (
        (lambda: active.pop(0), "is not among the active trials"),
        (lambda: launches.clear(), "which is not known"),
        (lambda: launches.update({99: 1}), "and launches .*99: 1.* live, but"),
        (lambda: fleet.pool.acquire(1, 1), r"trials \[0, 1\] hold devices"),
    ):
        with state.lock:
            kept = dict(active), dict(launches)
            wrong()
            with pytest.raises(IllegalStateError, match=what):
                fleet.check()
            for mapping, content in zip((active, launches), kept, strict=True):
                mapping.clear()
                mapping.update(content)
    fleet.pool.release(1)
    fleet.check()
    assert state.validates
    monkeypatch.setenv(VALIDATE, "0")
    assert not make_trials().backend._fleet._state.validates
