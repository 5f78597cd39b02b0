"""The files of best/: whole at every moment, replaced, set aside, or without room."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import dill
import pytest

from syne_hypersched.checkpoints import GenerationStore
from syne_hypersched.checkpoints.best import (
    BestPublisher,
    Incumbent,
    publish,
    published_result,
    published_trial,
    set_aside,
)
from tests.checkpoints.publishing import Trials, no_room


def test_an_older_one_is_replaced_and_removed(trials):
    for trial_id in range(3):
        trials.match(trial_id, 1, 0.5 - trial_id / 10, trials.take(trial_id, 1))
        trials.publish(trial_id, 1, 0.5 - trial_id / 10)
        assert trials.best()[:3] == (trial_id, 1, f"{trial_id} at 1")
    assert sum(name.startswith(".best") for name in os.listdir(trials.folder)) == 1


def test_a_reader_sees_the_old_or_the_new_one(trials):
    for trial_id in range(2):
        trials.take(trial_id, 1)
    generations = [trials.store(trial_id).read(1) for trial_id in range(2)]
    publish(trials.folder, trials.incumbent(0, 1, 0.5), generations[0])
    ended = threading.Event()
    torn = []

    def read():
        while not ended.is_set():
            # A reader opens the folder once, as copying it does, and then reads its files.
            folder = os.path.realpath(trials.folder / "best")
            try:
                trial_id = json.loads(Path(folder, "result.json").read_text())["trial_id"]
                model = Path(folder, "checkpoint", "model").read_text()
            except FileNotFoundError:
                continue  # that one has been replaced and removed meanwhile
            if model != f"{trial_id} at 1":
                torn.append((trial_id, model))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(100):
        publish(trials.folder, trials.incumbent(number % 2, 1, 0.5), generations[number % 2])
        assert (trials.folder / "best" / "result.json").exists()
    ended.set()
    reader.join()
    assert not torn


def test_what_cannot_be_published_is_a_warning(tmp_path, trials, caplog):
    (tmp_path / "file").write_text("")
    trials.publisher.publish(tmp_path / "file", trials.incumbent(0, 1, 0.5))
    trials.publisher.flush()
    assert "Cannot publish" in caplog.text


def test_what_fails_half_way_leaves_nothing_and_does_not_end_the_publisher(trials, caplog):
    good = trials.incumbent(1, 1, 0.4)
    bad = Incumbent(1, {}, {**good.result, (1, 2): "no JSON"}, good.checkpoints, "epoch", 1)
    trials.match(0, 1, 0.5, trials.take(0, 1))
    trials.publish(0, 1, 0.5)
    trials.match(1, 1, 0.4, trials.take(1, 1))
    trials.best()
    trials.publisher.publish(trials.folder, bad)
    assert trials.best() == (0, 1, "0 at 1", "exact")
    assert "Cannot publish" in caplog.text
    assert sum(name.startswith(".best") for name in os.listdir(trials.folder)) == 1
    trials.publish(1, 1, 0.4)
    assert trials.best() == (1, 1, "1 at 1", "exact")


def test_what_has_no_room_is_published_when_there_is_room(trials, caplog):
    trials.match(0, 1, 0.5, trials.take(0, 1))
    trials.publish(0, 1, 0.5)
    trials.best()
    for epoch, loss in ((1, 0.4), (2, 0.3)):
        trials.match(1, epoch, loss, trials.take(1, epoch))
    with no_room():
        for epoch, loss in ((1, 0.4), (2, 0.3)):
            trials.publish(1, epoch, loss)
            trials.publisher.flush()
    assert published_result(trials.folder)["loss"] == 0.5
    assert caplog.text.count("Cannot publish") == 1
    assert trials.best() == (1, 2, "1 at 2", "exact")


def test_a_generation_that_is_removed_as_it_is_read_is_no_fault(trials, caplog, monkeypatch):
    trials.match(0, 1, 0.5, trials.take(0, 1))
    number = trials.take(0, 2)
    reads = GenerationStore.publish

    def remove_first(store, generation, target):
        if generation.number != number:
            trials.match(0, 1, 0.5, number, match=1)
            store.remove(generation.number)
        reads(store, generation, target)

    monkeypatch.setattr(GenerationStore, "publish", remove_first)
    trials.publish(0, 1, 0.5)
    assert trials.best() == (0, 1, "0 at 2", 1)
    assert "Cannot publish" not in caplog.text


def test_a_copy_publishes_anew(trials):
    trials.publish(0, 1, 0.5)
    trials.best()
    copy = dill.loads(dill.dumps(BestPublisher(print, bool, Path)))
    copy.metric = "loss"
    assert copy.incumbent(trials.folder) == 0


@pytest.mark.parametrize("content", ["", "[]", '{"trial_id": "no number"}', "{}"])
def test_a_result_that_says_nothing_is_of_no_trial(tmp_path, content):
    assert published_trial(tmp_path) is None
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "result.json").write_text(content)
    assert published_trial(tmp_path) is None


def test_what_an_earlier_experiment_has_published_gets_another_name(trials):
    set_aside(trials.folder)
    for number in range(2):
        trials.take(number, 1)
        publish(trials.folder, trials.incumbent(number, 1, 0.5), trials.store(number).read(1))
        set_aside(trials.folder)
        assert not (trials.folder / "best").exists()
        assert (trials.folder / "best-before" / "checkpoint" / "model").read_text() == f"{number} at 1"
    assert sum(name.startswith(".best") for name in os.listdir(trials.folder)) == 1


def test_a_folder_that_a_user_has_put_in_its_place_is_set_aside(trials):
    """As by a program that copies an experiment and follows links."""
    trials.match(0, 1, 0.5, trials.take(0, 1))
    trials.publish(0, 1, 0.5)
    assert trials.best() == (0, 1, "0 at 1", "exact")
    best = trials.folder / "best"
    copy = shutil.copytree(best, trials.folder / "copy")
    best.unlink()
    copy.rename(best)
    trials.match(0, 2, 0.4, trials.take(0, 2))
    trials.publish(0, 2, 0.4)
    assert trials.best() == (0, 2, "0 at 2", "exact")
    assert (trials.folder / "best-before" / "checkpoint" / "model").read_text() == "0 at 1"


@pytest.mark.parametrize("is_resumed", [True, False])
def test_a_loss_that_a_user_has_made_better_does_not_end_the_publishing(trials, is_resumed, caplog):
    log = trials.folder / "0" / "std.out"
    trials.match(0, 1, 0.5, trials.take(0, 1))
    log.write_text("".join(f"[tune-metric]: {json.dumps(trials.report(n, 1 / (n + 1)))}\n" for n in (1, 2, 3)))
    trials.publish(0, 1, 0.5)
    assert trials.best() == (0, 1, "0 at 1", "exact")
    path = trials.folder / "best" / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "loss": 0.0001}))
    if is_resumed:
        trials = Trials(trials.folder)
    trials.publish(1, 1, 0.6)  # worse than what was published
    assert trials.best() == (0, 1, "0 at 1", "exact")
    trials.match(0, 2, 1 / 3, trials.take(0, 2))
    trials.publish(0, 2, 1 / 3)
    assert trials.best() == (0, 2, "0 at 2", "exact")
    assert (trials.folder / "best-before" / "checkpoint" / "model").read_text() == "0 at 1"
    assert len([record for record in caplog.records if "does not agree" in record.message]) == 1
