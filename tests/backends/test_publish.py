"""best/ is whole at every moment."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import dill
import numpy as np
import pytest

from syne_hypersched.backends.publish import BestPublisher, Incumbent, copy_checkpoint, publish, published_trial


def incumbent(tmp_path, trial_id=0, **result):
    checkpoint = tmp_path / "trials" / str(trial_id)
    checkpoint.mkdir(parents=True, exist_ok=True)
    (checkpoint / "model").write_text(f"model of {trial_id}")
    return Incumbent(trial_id, {"lr": np.float64(0.1), "n": np.int64(3)}, {"loss": 0.5, **result}, checkpoint)


def test_everything_about_the_incumbent_is_there(tmp_path):
    assert publish(tmp_path, incumbent(tmp_path, epoch=4))
    best = tmp_path / "best"
    assert (best / "checkpoint" / "model").read_text() == "model of 0"
    assert json.loads((best / "config.json").read_text()) == {"lr": 0.1, "n": 3}
    assert json.loads((best / "result.json").read_text()) == {"trial_id": 0, "loss": 0.5, "epoch": 4}


def test_a_trial_without_checkpoint_is_published_without(tmp_path):
    assert not publish(tmp_path, Incumbent(0, {}, {}, tmp_path / "nothing"))
    assert (tmp_path / "best" / "result.json").exists()
    assert not (tmp_path / "best" / "checkpoint").exists()


def test_an_older_one_is_replaced_and_removed(tmp_path):
    for trial_id in range(3):
        publish(tmp_path, incumbent(tmp_path, trial_id))
    assert (tmp_path / "best" / "checkpoint" / "model").read_text() == "model of 2"
    assert sum(name.startswith(".best") for name in os.listdir(tmp_path)) == 1


def test_a_reader_sees_the_old_or_the_new_one(tmp_path):
    publish(tmp_path, incumbent(tmp_path, 0))
    ended = threading.Event()
    torn = []

    def read():
        while not ended.is_set():
            # A reader opens the folder once, as copying it does, and then reads its files.
            folder = os.path.realpath(tmp_path / "best")
            try:
                trial_id = json.loads(Path(folder, "result.json").read_text())["trial_id"]
                model = Path(folder, "checkpoint", "model").read_text()
            except FileNotFoundError:
                continue  # that one has been replaced and removed meanwhile
            if model != f"model of {trial_id}":
                torn.append((trial_id, model))

    reader = threading.Thread(target=read)
    reader.start()
    for trial_id in range(100):
        publish(tmp_path, incumbent(tmp_path, trial_id))
        assert (tmp_path / "best" / "result.json").exists()
    ended.set()
    reader.join()
    assert not torn


def test_a_checkpoint_that_changes_while_it_is_copied_is_copied_again(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "b"):
        (source / name).write_text("0")
    ended = threading.Event()

    def write():
        for version in range(1, 40):
            for name in ("a", "b"):  # aside, then renamed, as a careful script does
                (tmp_path / "aside").write_text(str(version))
                os.replace(tmp_path / "aside", source / name)
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not ended.is_set():
        assert copy_checkpoint(source, tmp_path / "target")
    writer.join()
    assert copy_checkpoint(source, tmp_path / "target")
    assert [(tmp_path / "target" / name).read_text() for name in ("a", "b")] == ["39", "39"]


def test_there_may_be_nothing_to_copy(tmp_path):
    assert not copy_checkpoint(tmp_path / "nothing", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_the_publisher_publishes_the_latest(tmp_path):
    published = []
    publisher = BestPublisher(lambda incumbent, has_checkpoint: published.append((incumbent.trial_id, has_checkpoint)))
    for trial_id in range(20):
        publisher.publish(tmp_path, incumbent(tmp_path, trial_id))
    publisher.flush()
    assert published[-1] == (19, True)
    assert (tmp_path / "best" / "checkpoint" / "model").read_text() == "model of 19"


def test_what_cannot_be_published_is_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    publisher = BestPublisher(lambda *_: None)
    publisher.publish(tmp_path / "file", incumbent(tmp_path))
    publisher.flush()
    assert "Cannot publish" in caplog.text


def test_what_fails_half_way_leaves_nothing_and_does_not_end_the_publisher(tmp_path, caplog):
    publisher = BestPublisher(lambda *_: None)
    good = incumbent(tmp_path, 0)
    publisher.publish(tmp_path, good)
    publisher.flush()
    publisher.publish(tmp_path, Incumbent(1, {}, {(1, 2): "no JSON"}, good.checkpoint))
    publisher.flush()
    assert "Cannot publish" in caplog.text
    assert json.loads((tmp_path / "best" / "result.json").read_text())["trial_id"] == 0
    assert sum(name.startswith(".best") for name in os.listdir(tmp_path)) == 1
    publisher.publish(tmp_path, incumbent(tmp_path, 2))
    publisher.flush()
    assert json.loads((tmp_path / "best" / "result.json").read_text())["trial_id"] == 2


def test_a_publisher_survives_pickling(tmp_path):
    publisher = BestPublisher(print)
    publisher.publish(tmp_path, incumbent(tmp_path))
    publisher.flush()
    copy = dill.loads(dill.dumps(publisher))
    copy.publish(tmp_path, incumbent(tmp_path, 1))
    copy.flush()
    assert json.loads((tmp_path / "best" / "result.json").read_text())["trial_id"] == 1


@pytest.mark.parametrize("make", [lambda p: (p / "sub").mkdir(), lambda p: (p / "link").symlink_to("model")])
def test_folders_and_links_are_copied(tmp_path, make):
    source = incumbent(tmp_path).checkpoint
    make(source)
    assert copy_checkpoint(source, tmp_path / "target")
    assert sorted(os.listdir(tmp_path / "target")) == sorted(os.listdir(source))


def test_the_incumbent_is_known_at_once_and_from_the_folder_alone(tmp_path):
    publisher = BestPublisher(lambda *_: None)
    assert publisher.incumbent(tmp_path) is None
    publisher.publish(tmp_path, incumbent(tmp_path, 7))
    assert publisher.incumbent(tmp_path) == 7
    publisher.flush()
    assert BestPublisher(lambda *_: None).incumbent(tmp_path) == 7
    assert dill.loads(dill.dumps(publisher)).incumbent(tmp_path) == 7


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"trial_id": "7"}', "null"])
def test_a_result_that_says_nothing_names_no_incumbent(tmp_path, content):
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "result.json").write_text(content)
    assert published_trial(tmp_path) is None
