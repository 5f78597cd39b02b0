"""best/ is a report and the checkpoint that belongs to it, whole at every moment."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import dill
import numpy as np
import pytest

from syne_hypersched.checkpoints import Generation, GenerationStore, Matched, fingerprint
from syne_hypersched.checkpoints._files import read_tree
from syne_hypersched.checkpoints.best import (
    BestPublisher,
    Incumbent,
    publish,
    published_result,
    published_trial,
    set_aside,
)


@contextlib.contextmanager
def no_room():
    """No file of this process can have a byte more, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Trials:
    """Trials with generations, and what was published of them."""

    def __init__(self, folder):
        self.folder = folder
        self.live = set()
        self.told = []
        self.publisher = BestPublisher(
            lambda *told: self.told.append(told),
            self.live.__contains__,
            lambda trial_id: self.store(trial_id).checkpoints,
        )
        self.publisher.metric = "loss"

    def store(self, trial_id):
        return GenerationStore(self.folder / str(trial_id) / "checkpoints")

    def take(self, trial_id, epoch, after=None, before=None):
        """The checkpoint folder holds an epoch, and a generation is taken of it."""
        store = self.store(trial_id)
        store.checkpoints.mkdir(parents=True, exist_ok=True)
        (store.checkpoints / "model").write_text(f"{trial_id} at {epoch}")
        number, after = len(store.numbers()) + 1, epoch if after is None else after
        live = read_tree(store.checkpoints)
        store.take(Generation(number, 0, after, after if before is None else before, live, {}), None)
        return number

    def match(self, trial_id, epoch, loss, generation, match="exact"):
        store = self.store(trial_id)
        notes = store.notes()
        notes.matched.append(Matched(epoch, 0, self.report(epoch, loss), 0, generation, match))
        store.write_notes(notes)
        self.publisher.notice(trial_id)

    def report(self, epoch, loss):
        return {"epoch": epoch, "loss": loss, "st_worker_timestamp": 1000.0 + epoch}

    def incumbent(self, trial_id, epoch, loss, **fields):
        result = {**self.report(epoch, loss), "st_launch": 0, "st_worker_iter": epoch - 1, **fields}
        config = {"lr": np.float64(0.1), "n": np.int64(3)}
        return Incumbent(trial_id, config, result, self.store(trial_id).checkpoints, "epoch", epoch)

    def publish(self, trial_id, epoch, loss):
        self.publisher.publish(self.folder, self.incumbent(trial_id, epoch, loss))

    def best(self):
        """Trial, level, what is in the checkpoint and how sure that is."""
        self.publisher.flush()
        result = published_result(self.folder)
        model = self.folder / "best" / "checkpoint" / "model"
        known = result["st_checkpoint"]
        text = model.read_text() if model.exists() else None
        return result["trial_id"], result["epoch"], text, None if known is None else known["match"]


@pytest.fixture
def trials(tmp_path):
    return Trials(tmp_path)


def test_everything_about_the_incumbent_is_there(trials):
    trials.take(0, 3)
    generation = trials.store(0).read(1)
    publish(trials.folder, trials.incumbent(0, 3, 0.5), generation, "exact")
    best = trials.folder / "best"
    assert (best / "checkpoint" / "model").read_text() == "0 at 3"
    assert json.loads((best / "config.json").read_text()) == {"lr": 0.1, "n": 3}
    assert json.loads((best / "result.json").read_text()) == {
        "trial_id": 0, "epoch": 3, "loss": 0.5, "st_worker_timestamp": 1003.0, "st_launch": 0, "st_worker_iter": 2,
        "st_checkpoint": {
            "level": 3, "launch": 0, "generation": 1, "match": "exact", "num_files": 1, "num_bytes": 6,
            "fingerprint": fingerprint(best / "checkpoint"),
        },
    }  # fmt: skip


def test_the_checkpoint_is_the_one_of_the_report_however_late_it_is_published(trials):
    for epoch in (1, 2, 3, 8):
        trials.take(0, epoch)
    trials.match(0, 3, 0.1, generation=3)
    trials.publish(0, 3, 0.1)
    assert trials.best() == (0, 3, "0 at 3", "exact")


def test_a_report_whose_checkpoint_is_still_to_come_is_published_with_it(trials):
    trials.live.add(0)
    trials.publish(0, 3, 0.1)
    trials.publisher.flush()
    assert published_result(trials.folder) is None
    trials.match(0, 3, 0.1, trials.take(0, 3), 1)
    assert trials.best() == (0, 3, "0 at 3", 1)
    assert not trials.publisher.awaits(0)


def test_work_that_was_done_again_is_not_newer(trials):
    """By number it is: the checkpoint was written after the fifth report, which was of epoch 2 again."""
    store = trials.store(0)
    store.checkpoints.mkdir(parents=True)
    (store.checkpoints / "model").write_text("0 at 2")
    for number, level in ((1, 2.0), (2, 3.0)):
        store.take(Generation(number, 1, 5, 5, read_tree(store.checkpoints), {}, level), None)
    trials.publish(0, 4, 0.5)
    assert trials.best() == (0, 4, None, None)
    store.take(Generation(3, 1, 7, 7, read_tree(store.checkpoints), {}, 4.0), None)
    trials.publisher.notice(0)
    assert trials.best()[3] == 4


def test_each_launch_may_have_saved_once_more_than_it_has_reported(trials):
    """Two launches after that of the report were killed after a save."""
    store = trials.store(0)
    store.checkpoints.mkdir(parents=True)
    (store.checkpoints / "model").write_text("0 at 7")
    store.take(Generation(1, 2, 5, 5, read_tree(store.checkpoints), {}, 4.0, is_first=True), None)
    trials.publish(0, 4, 0.5)
    assert trials.best()[3] == 4


def test_after_a_resume_the_log_says_which_report_it_was(trials):
    trials.take(0, 2, after=2, before=2)
    log = trials.store(0).checkpoints.with_name("std.out")
    log.write_text("".join(f"[tune-metric]: {json.dumps(trials.report(epoch, 0.5))}\n" for epoch in (1, 2, 3)))
    trials.publisher.publish(trials.folder, replace(trials.incumbent(0, 2, 0.5), report=None))
    assert trials.best() == (0, 2, "0 at 2", 1)


def test_the_second_best_is_published_if_the_best_has_no_checkpoint(trials):
    trials.match(0, 1, 0.9, trials.take(0, 1))
    trials.publish(0, 1, 0.9)
    trials.live.add(1)
    trials.publish(1, 1, 0.1)
    for trial_id, loss in ((2, 0.7), (3, 0.5), (4, 0.6)):
        trials.match(trial_id, 1, loss, trials.take(trial_id, 1))
        trials.publisher.offer(trials.folder, trials.incumbent(trial_id, 1, loss))
    assert trials.best() == (3, 1, "3 at 1", "exact")
    trials.match(1, 1, 0.1, trials.take(1, 1), 1)
    assert trials.best() == (1, 1, "1 at 1", 1)
    trials.publisher.offer(trials.folder, trials.incumbent(4, 1, 0.6))
    assert trials.best() == (1, 1, "1 at 1", 1)


def test_each_better_one_without_checkpoint_is_told(trials):
    trials.publish(0, 1, 0.1)
    assert trials.best() == (0, 1, None, None)
    trials.publisher.offer(trials.folder, trials.incumbent(1, 1, 0.5))
    assert trials.best() == (0, 1, None, None)
    trials.match(2, 1, 0.7, trials.take(2, 1))
    trials.publisher.offer(trials.folder, trials.incumbent(2, 1, 0.7))
    assert trials.best() == (2, 1, "2 at 1", "exact")
    told = [(incumbent.trial_id, published.is_new) for incumbent, published in trials.told]
    assert told[0] == (0, True)
    assert (1, False) in told


def test_a_trial_that_rests_may_get_a_checkpoint_later(trials):
    trials.publish(0, 1, 0.5)
    assert trials.best() == (0, 1, None, None)
    trials.match(0, 1, 0.5, trials.take(0, 4), 3)
    assert trials.best() == (0, 1, "0 at 4", 3)


def test_what_has_a_checkpoint_stays_until_something_better_has_one(trials):
    trials.match(0, 2, 0.5, trials.take(0, 2))
    trials.publish(0, 2, 0.5)
    trials.live.add(1)
    trials.publish(1, 1, 0.4)
    assert trials.best() == (0, 2, "0 at 2", "exact")
    trials.live.clear()
    trials.publisher.notice(1)
    assert trials.best() == (0, 2, "0 at 2", "exact")
    incumbent, published = trials.told[-1]
    assert (incumbent.trial_id, published.is_new) == (1, False)
    assert "best/ stays as it is" in published.reason


def test_the_end_of_a_tuning_tells_of_what_still_waits_for_its_checkpoint(trials):
    """It may be on a node that is gone, or with processes that do not die; ``verify`` asks why it is not there."""
    trials.match(0, 1, 0.5, trials.take(0, 1))
    trials.publish(0, 1, 0.5)
    trials.live.add(1)
    trials.publish(1, 1, 0.4)
    trials.publisher.finish()
    assert trials.best() == (0, 1, "0 at 1", "exact")
    incumbent, published = trials.told[-1]
    assert (incumbent.trial_id, published.is_new, published.checkpoint) == (1, False, None)
    assert published.reason.startswith("the tuning ended before its checkpoint was here")
    trials.publisher.finish()
    assert len(trials.told) == 2, "it is told once"


def test_the_end_of_a_tuning_tells_of_what_had_no_room(trials):
    trials.match(0, 1, 0.5, trials.take(0, 1))
    trials.publish(0, 1, 0.5)
    trials.best()
    trials.match(1, 1, 0.4, trials.take(1, 1))
    with no_room():
        trials.publish(1, 1, 0.4)
        trials.publisher.finish()
    assert [(incumbent.trial_id, published.is_new) for incumbent, published in trials.told] == [(0, True), (1, False)]


def test_at_the_end_a_newer_checkpoint_will_do_and_an_older_one_will_not(trials):
    trials.take(0, 2)
    trials.publish(0, 3, 0.5)
    assert trials.best() == (0, 3, None, None)
    trials.take(0, 5, after=4, before=5)
    trials.publish(0, 3, 0.5)
    assert trials.best() == (0, 3, "0 at 5", 3)


def test_trials_that_never_save_are_published_without_checkpoint(trials):
    trials.publish(0, 1, 0.5)
    assert trials.best() == (0, 1, None, None)
    trials.publish(1, 1, 0.4)
    assert trials.best() == (1, 1, None, None)
    assert not (trials.folder / "best" / "checkpoint").exists()


@pytest.mark.parametrize(("do_minimize", "better", "worse"), [(True, 0.1, 0.2), (False, 0.2, 0.1)])
def test_after_a_resume_it_is_replaced_only_by_something_better(trials, do_minimize, better, worse):
    trials.publisher.do_minimize = do_minimize
    trials.match(0, 3, better, trials.take(0, 3))
    trials.publish(0, 3, better)
    assert trials.best() == (0, 3, "0 at 3", "exact")
    trials.match(0, 2, worse, trials.take(0, 6))
    for _ in range(2):
        trials.publish(0, 2, worse)
        assert trials.best() == (0, 3, "0 at 3", "exact")


def test_a_report_without_a_level_is_not_offered_and_is_replaced(trials):
    trials.match(0, 2, 0.1, trials.take(0, 2))
    trials.publish(0, 2, 0.1)  # as long as the level's name is not known
    assert trials.best()[:2] == (0, 2)
    result = published_result(trials.folder)
    del result["epoch"]
    (trials.folder / "best" / "result.json").write_text(json.dumps(result))
    trials.publisher.time_attr = "epoch"
    trials.match(1, 1, 0.5, trials.take(1, 1))
    trials.publish(1, 1, 0.5)
    assert trials.best() == (1, 1, "1 at 1", "exact")
    trials.match(2, 1, 0.2, trials.take(2, 1))
    score = trials.incumbent(2, 1, 0.2)
    del score.result["epoch"]
    trials.publisher.offer(trials.folder, score)
    assert trials.best() == (1, 1, "1 at 1", "exact")


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
