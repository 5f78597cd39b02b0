"""Checkpoints of trials under a backend: what is removed, and who waits for room."""

from __future__ import annotations

import contextlib
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
from tests.backends.local.saving import checkpoints, epoch_of

pytestmark = pytest.mark.usefixtures("no_process_left")

#: How long a thread may take on a machine under heavy load.
PATIENCE_S = 250.0


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
