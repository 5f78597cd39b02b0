"""Checkpoints of trials under a backend: what is put back, published, handed on, removed and kept apart."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import threading
from types import SimpleNamespace

import pytest
from syne_tune.backend.trial_status import Status

from syne_hypersched.backends.local._checkpoints import Checkpoints
from syne_hypersched.backends.shared.events import EventLog
from syne_hypersched.checkpoints import Generation, GenerationStore, copying
from syne_hypersched.checkpoints import room as room_module
from syne_hypersched.checkpoints._files import read_tree
from syne_hypersched.records.events import read_events
from tests.backends.local.trials import Trials

pytestmark = pytest.mark.usefixtures("no_process_left")

#: How long a thread may take on a machine under heavy load.
PATIENCE_S = 250.0

#: Saves, then reports, as often as it is told. Loads with an error if the checkpoint is torn.
SCRIPT = """
import argparse, json, os, sys, time
from pathlib import Path
from tests.reporter import Reporter

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=1000)
parser.add_argument("--best", type=int, default=1000)
parser.add_argument("--mode", default="")
parser.add_argument("--st_checkpoint_dir", type=Path)
args = parser.parse_args()
folder, report, done = args.st_checkpoint_dir, Reporter(), 0
kept = folder.parent / ".checkpoints-generations"
if (folder / "model").exists():
    text = (folder / "model").read_text()
    if not text.endswith("."):
        raise EOFError("Ran out of input")
    done = int(text.split()[1])
    print("loaded", done, flush=True)
for epoch in range(done + 1, args.epochs + 1):
    folder.mkdir(exist_ok=True)
    if args.mode == "tears" and epoch == 3 and not Path("torn").exists():
        Path("torn").touch()
        (folder / "model").write_text("epoch 3")  # and closes it, as if all was well
        report(epoch=3, loss=0.5)
        while not (kept / "000003").exists():
            time.sleep(0.005)
        os._exit(1)
    if args.mode == "never":
        pass
    elif args.mode:  # in place
        (folder / "model").write_text(f"epoch {epoch} .")
    else:
        (folder / "model.new").write_text(f"epoch {epoch} .")
        os.replace(folder / "model.new", folder / "model")
    report(epoch=epoch, loss=1.0 + abs(epoch - args.best))
    if args.mode in ("tears", "scores", "kept"):  # each epoch takes as long as its generation
        while (epoch < 3 or args.mode == "kept") and not (kept / f"{epoch:06d}").exists():
            time.sleep(0.005)
    if args.mode == "scores" and epoch == 2:
        report(loss=0.0)
    time.sleep(0.12)
"""


@pytest.fixture
def make_trials(tmp_path, wait_for, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = []

    def make(**options):
        trials = Trials(tmp_path, SCRIPT, wait_for, **{"grace_s": 20.0, "retry_backoff_s": 0.01, **options})
        trials.backend.measure("loss", do_minimize=True)
        made.append(trials)
        return trials

    yield make
    for trials in made:
        trials.backend.stop_all()


@pytest.fixture
def trials(make_trials):
    return make_trials()


def checkpoints(trials, trial_id=0):
    return trials.backend.checkpoint_trial_path(trial_id)


def epoch_of(folder):
    text = (folder / "model").read_text()
    assert text.endswith(".")
    return int(text.split()[1])


def best(trials):
    """Trial and level that are published, the epoch of the checkpoint and how sure that is."""
    result = json.loads((trials.folder / "best" / "result.json").read_text())
    known = result["st_checkpoint"]
    epoch = epoch_of(trials.folder / "best" / "checkpoint") if known else None
    return result["trial_id"], result["epoch"], epoch, known and known["match"]


def publish(trials):
    """Has all reports published that are better than all before, as a scheduler does that has just seen them."""
    lowest = float("inf")
    for report in trials.reports:
        if report["loss"] < lowest:
            lowest = report["loss"]
            trials.backend.publish(0, report)


def test_a_launch_that_cannot_load_its_checkpoint_is_followed_by_one_from_the_generation_before(trials, caplog):
    trials.start(epochs=5, mode="tears", best=2)
    assert trials.until_ended() == Status.completed
    assert trials.epochs[0] == [1, 2, 3, 4, 5]  # what is done again is not reported again
    assert trials.ends() == ["failed", "failed", "completed"]
    (event,) = trials.events("restore")
    assert (event.launch, event.details["generation"]) == (2, 2)
    assert event.reason == "the previous launch could not continue from generation 3"
    warnings = [record.message for record in caplog.records if "goes on from an older checkpoint" in record.message]
    assert len(warnings) == 1
    assert "Trial 0 goes on from an older checkpoint in launch 2 (generation 2)" in warnings[0]
    assert "loaded 2" in "".join(trials.backend.stdout(0))
    assert epoch_of(checkpoints(trials)) == 5


def test_it_goes_back_once_and_not_further(trials):
    trials.start(epochs=5, mode="tears")
    trials.until(lambda: trials.epochs[0][-1:] == [3])
    # The launches after it fail whatever they load.
    (trials.folder.parent / "train.py").write_text("raise EOFError('Ran out of input')")
    assert trials.until_ended() == Status.failed
    assert [event.details["generation"] for event in trials.events("restore")] == [2]
    assert trials.ends() == ["failed"] * 3


def test_the_best_epoch_is_published_however_late_it_is_looked_at(trials):
    trials.start(epochs=9, best=5)
    trials.wait_for(lambda: len([line for line in trials.backend.stdout(0) if "tune-metric" in line]) == 9)
    trials.poll()  # once, after all is over
    trials.until_ended()
    assert trials.epochs[0] == list(range(1, 10))
    publish(trials)
    trials.backend.stop_all()
    trial_id, level, epoch, match = best(trials)
    assert (trial_id, level) == (0, 5)
    assert epoch == 5 if match == "exact" else 5 <= epoch <= 5 + match


def test_the_last_epoch_of_a_script_that_has_ended_is_published_exactly(trials):
    trials.start(epochs=4)
    trials.until_ended()
    publish(trials)
    trials.backend.stop_all()
    assert best(trials) == (0, 4, 4, "exact")


def test_a_report_with_a_test_score_only_is_not_the_best(trials):
    trials.backend.follow("epoch")
    trials.start(epochs=3, best=3, mode="scores")
    trials.until_ended()
    trials.wait_for(lambda: len(trials.reports) == 4)
    for report in trials.reports:
        if "epoch" in report:  # the scheduler leaves out the others
            trials.backend.publish(0, report)
    trials.backend.stop_all()
    _, level, epoch, _ = best(trials)
    assert level == epoch == 3


def test_the_second_best_is_published_if_the_best_never_has_a_checkpoint(trials):
    trials.start(epochs=2)
    trials.until_ended()
    publish(trials)
    for trial_id, options in ((1, {"mode": "never", "best": 2}), (2, {"best": 500})):
        trials.start(epochs=2, **options)
        trials.until_ended(trial_id)
    trials.backend.publish(1, next(report for report in trials.reports if report["loss"] == 1.0))
    trials.wait_for(lambda: trials.events("unpublished"))
    trials.backend.stop_all()
    assert best(trials)[:3] == (2, 2, 2)


def test_a_trial_that_begins_from_the_checkpoint_of_another_one_goes_on_from_there(trials):
    trials.start(epochs=3)
    trials.until_ended()
    trial = trials.backend.start_trial({"epochs": 5}, checkpoint_trial_id=0)
    trials.ids.append(trial.trial_id)
    trials.epochs[1] = []
    trials.until_ended(1)
    assert trials.epochs[1] == [4, 5]
    assert epoch_of(checkpoints(trials, 1)) == 5
    assert epoch_of(checkpoints(trials, 0)) == 3  # they have no file in common


def test_a_trial_may_begin_from_the_checkpoint_of_one_that_runs(trials):
    trials.start(mode="in place")
    trials.until(lambda: len(trials.epochs[0]) >= 3)
    trial = trials.backend.start_trial({"epochs": 1000}, checkpoint_trial_id=0)
    trials.ids.append(trial.trial_id)
    trials.epochs[1] = []
    trials.until(lambda: trials.epochs[1])
    assert trials.epochs[1][0] >= 2  # else it has started from the beginning


def test_a_trial_of_a_second_experiment_with_the_same_name_starts_from_the_beginning(make_trials, caplog):
    first = make_trials()
    first.start(epochs=3, mode="kept")
    first.until_ended()
    publish(first)
    first.backend.stop_all()
    assert best(first)[:3] == (0, 3, 3)
    second = make_trials()
    second.start(epochs=2, mode="kept")
    second.until_ended()
    assert second.epochs[0] == [1, 2]
    assert epoch_of(checkpoints(second)) == 2
    assert epoch_of(checkpoints(second).with_name("checkpoints-before")) == 3
    assert epoch_of(second.folder / "best-before" / "checkpoint") == 3
    publish(second)
    second.backend.stop_all()
    assert best(second)[:3] == (0, 2, 2)  # although the one before was better
    assert caplog.text.count("There are checkpoints of an earlier experiment") == 1


@pytest.mark.parametrize("second", [pytest.param("folder", marks=pytest.mark.slow), "link"])
def test_what_an_earlier_experiment_has_kept_of_a_link_is_no_error(make_trials, tmp_path, second):
    first = make_trials()
    outside = tmp_path / "disk"
    outside.mkdir()
    folder = checkpoints(first)
    folder.parent.mkdir(parents=True)
    folder.with_name("checkpoints-before").symlink_to(outside)
    if second == "link":
        folder.symlink_to(outside)
    else:
        folder.mkdir()
    (outside / "model").write_text("epoch 7 .")
    first.start(epochs=1)
    first.until_ended()
    assert first.epochs[0] == [1]
    assert epoch_of(outside) == 7


def test_generations_go_with_the_checkpoints_of_a_trial_that_was_stopped(make_trials):
    trials = make_trials(delete_checkpoints=True, num_devices=2)
    trials.start()
    trials.until(lambda: len(trials.epochs[0]) >= 2)
    store = GenerationStore(checkpoints(trials))
    trials.wait_for(store.numbers)
    trials.backend.stop_trial(0)
    trials.until(lambda: trials.backend.busy_trial_ids() == [])
    trials.start()  # in its place, so that no trial starts from the checkpoint of trial 0 any more
    trials.until(lambda: trials.events("remove_checkpoint"))
    assert [event.trial_id for event in trials.events("remove_checkpoint")] == [0]
    assert not checkpoints(trials).exists()
    assert not store.folder.exists()
    trials.until(lambda: len(trials.epochs[1]) >= 2)
    assert checkpoints(trials, 1).exists()


def test_a_paused_trial_keeps_its_folder_and_no_generation(trials):
    trials.start()
    trials.until(lambda: len(trials.epochs[0]) >= 3)
    store = GenerationStore(checkpoints(trials))
    trials.until(store.numbers)
    trials.backend.pause_trial(0, trials.reports[-1])
    trials.until(lambda: trials.backend.busy_trial_ids() == [])
    # A report that was printed just before the pause may be the best one, and its generation stays.
    waiting = trials.backend._fleet.processes(0).reports.waiting
    trials.until(lambda: waiting or not store.numbers())
    epoch = epoch_of(checkpoints(trials))
    assert epoch >= trials.epochs[0][-1]
    trials.backend.resume_trial(0)
    trials.until(lambda: len(trials.epochs[0]) > epoch)
    assert trials.epochs[0] == list(range(1, len(trials.epochs[0]) + 1))
    assert not trials.events("restore")


def test_on_a_full_disk_what_may_go_is_removed_before_anybody_waits(make_trials, monkeypatch):
    trials = make_trials(delete_checkpoints=True)
    trials.start()
    trials.until(lambda: len(trials.epochs[0]) >= 2)
    gone = checkpoints(trials)
    monkeypatch.setattr(room_module, "free_mb", lambda _: 0.0 if gone.exists() else 1e6)
    trials.backend.stop_trial(0)
    trials.until(lambda: trials.backend.busy_trial_ids() == [])
    trials.start(epochs=2)
    assert trials.until_ended(1) == Status.completed
    assert not gone.exists()
    assert os.path.exists(trials.backend.trial_path(0) / "std.out")


def test_on_a_full_disk_nothing_is_removed_that_was_not_to_be(trials, monkeypatch):
    is_full = True
    trials.start(epochs=2)
    trials.until_ended()
    trials.backend.stop_trial(0)
    monkeypatch.setattr(room_module, "free_mb", lambda _: 0.0 if is_full else 1e6)
    trials.start(epochs=2)
    trials.until(lambda: trials.events("wait"))
    assert epoch_of(checkpoints(trials)) == 2
    is_full = False
    assert trials.until_ended(1) == Status.completed


def test_nothing_is_removed_while_it_is_copied_into_best(tmp_path, monkeypatch):
    """The incumbent of before is needed no longer, but its checkpoint is still being copied."""

    def folder_of(trial_id):
        return tmp_path / str(trial_id) / "checkpoints"

    def publish_slowly(store, generation, target):
        begun.set()
        may_end.wait()
        publish(store, generation, target)

    publish, begun, may_end = GenerationStore.publish, threading.Event(), threading.Event()
    monkeypatch.setattr(GenerationStore, "publish", publish_slowly)
    reports = SimpleNamespace(queue=[], number_of=lambda result: 1)
    trial = SimpleNamespace(is_at_rest=True, reports=reports)
    events = EventLog(tmp_path / "events.jsonl", lambda: 0.0)
    checkpoints = Checkpoints(folder_of, lambda trial_id: trial, events, delete=False, min_free_mb=0.0)
    checkpoints.experiment = tmp_path
    folder_of(0).mkdir(parents=True)
    (folder_of(0) / "weights").write_text("whole")
    store = GenerationStore(folder_of(0))
    store.take(Generation(1, 0, 1, 1, read_tree(folder_of(0)), {}), None)
    checkpoints.publish(0, {}, {"loss": 2.0, "st_launch": 0})
    assert begun.wait(PATIENCE_S)
    checkpoints.publish(1, {}, {"loss": 1.0, "st_launch": 0})
    checkpoints.removal.request(0)
    checkpoints.removal.remove()
    removing = threading.Thread(target=checkpoints.removal.flush)
    removing.start()
    removing.join(0.3)  # for as long as it might wrongly remove something
    assert (folder_of(0) / "weights").exists()
    may_end.set()
    removing.join()
    assert not folder_of(0).exists()
    assert (tmp_path / "best" / "checkpoint" / "weights").read_text() == "whole"


@pytest.mark.parametrize("mode", [pytest.param("", marks=pytest.mark.slow), "in place"])
def test_a_trial_that_begins_where_another_one_has_ended_is_no_failure(trials, mode, caplog):
    trials.start(epochs=2, mode=mode)
    assert trials.until_ended(0) == Status.completed
    trials.ids.append(trials.backend.start_trial({"epochs": 2, "mode": mode}, checkpoint_trial_id=0).trial_id)
    trials.epochs[1] = []
    assert trials.until_ended(1) == Status.stopped  # Syne Tune's tuner ends if a completed trial has not reported
    assert trials.epochs == {0: [1, 2], 1: []}
    assert [event.trial_id for event in trials.events("complete", "fail")] == [0, 1]
    assert trials.events("fail") == []
    assert "Trial 1 began with the checkpoint of another trial and ended without a report" in caplog.text


def test_a_trial_waits_for_room_for_the_checkpoint_with_which_it_begins(trials, monkeypatch, caplog):
    trials.start(epochs=2)
    assert trials.until_ended(0) == Status.completed
    free = [0.0]
    monkeypatch.setattr(copying, "free_mb", lambda folder: free[0])
    trials.ids.append(trials.backend.start_trial({"epochs": 3}, checkpoint_trial_id=0).trial_id)
    trials.epochs[1] = []
    trials.until(lambda: "there is no room for a copy (0 MB)" in caplog.text)
    assert trials.events("wait")[0].trial_id == 1
    assert trials.status[1] == Status.in_progress
    trials.backend.delete_checkpoint(0)  # it stays until it is copied
    free[0] = 1e6
    assert trials.until_ended(1) == Status.completed
    assert trials.epochs[1] == [3]
    trials.until(lambda: not checkpoints(trials).exists())


@contextlib.contextmanager
def locked(folder):
    """Nothing can be made in a folder, nor removed from it."""
    can_lock = os.geteuid() != 0 or shutil.which("chattr") is not None
    lock, unlock = (["chmod", "u-w"], ["chmod", "u+w"]) if os.geteuid() else (["chattr", "+i"], ["chattr", "-i"])
    if not can_lock or subprocess.run([*lock, folder], check=False, capture_output=True).returncode:
        pytest.skip("the file system has no immutable folders")
    try:
        yield
    finally:
        subprocess.run([*unlock, folder], check=True)


def test_a_trial_waits_while_a_user_has_locked_the_folder_of_the_experiment(trials, caplog):
    trials.start(epochs=2)
    assert trials.until_ended(0) == Status.completed
    with locked(trials.folder):
        trials.ids.append(trials.backend.start_trial({"epochs": 3}, checkpoint_trial_id=0).trial_id)
        trials.epochs[1] = []
        trials.until(lambda: "trials wait" in caplog.text)
        assert trials.status[1] == Status.in_progress
    assert trials.until_ended(1) == Status.completed
    assert trials.epochs[1] == [3]
    assert "starts without" not in caplog.text


def test_what_a_dead_tuner_had_received_counts_for_a_scheduler_that_tells_the_backend_nothing(tmp_path):
    events = EventLog(tmp_path / "events.jsonl", lambda: 0.0)
    checkpoints = Checkpoints(tmp_path.joinpath, lambda _: None, events, delete=False, min_free_mb=0.0)
    checkpoints.experiment = tmp_path
    (tmp_path / "metadata.json").write_text(json.dumps({"metric_names": ["accuracy"], "metric_mode": "max"}))
    trial = SimpleNamespace(trial_id=0, reports=SimpleNamespace(number_of=lambda report: None))
    checkpoints.record_received(trial, [{"accuracy": 0.5}, {"accuracy": 0.75}, {"accuracy": 0.25}])
    assert checkpoints._best_received(0, None) == (-0.75, None, {"accuracy": 0.75})


def test_a_better_report_whose_checkpoint_never_arrives_is_told_at_the_end(tmp_path):
    events = EventLog(tmp_path / "events.jsonl", lambda: 0.0)
    checkpoints = Checkpoints(lambda i: tmp_path / str(i) / "saved", lambda _: None, events, False, 0.0)
    checkpoints.experiment, checkpoints.is_arriving = tmp_path, {1}.__contains__
    checkpoints.measure("loss", do_minimize=True)
    checkpoints.publish(0, {}, {"loss": 0.5})
    checkpoints._received[1] = [(0.25, None, {"loss": 0.25})]
    checkpoints.settle({0: {}, 1: {}})
    assert read_events(events.path)[-1].details["result"] == {"loss": 0.25}
