"""A trial begins with the checkpoint of another one, which may be running."""

from __future__ import annotations

import os
import threading

import pytest

from syne_hypersched.checkpoints import Generation, GenerationStore, Notes, copying
from syne_hypersched.checkpoints._files import read_tree
from syne_hypersched.checkpoints.copying import copy_checkpoint


def make(folder, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model").write_text(text)
    return GenerationStore(folder)


def test_the_newest_generation_is_copied_while_the_folder_is_written_to(tmp_path):
    store = make(tmp_path / "0" / "checkpoints", "whole")
    store.take(Generation(1, 0, 1, 1, read_tree(store.checkpoints), {}), None)
    make(store.checkpoints, "to")  # half of the next one
    assert copy_checkpoint(store.checkpoints, tmp_path / "1" / "checkpoints")
    assert (tmp_path / "1" / "checkpoints" / "model").read_text() == "whole"


@pytest.mark.parametrize("is_whole", [True, False])
def test_what_the_last_launch_has_left_is_newer_but_may_be_torn(tmp_path, is_whole):
    store = make(tmp_path / "0" / "checkpoints", "older")
    store.take(Generation(1, 0, 1, 1, read_tree(store.checkpoints), {}), None)
    make(store.checkpoints, "left")
    store.note(Notes(left=read_tree(store.checkpoints), is_whole=is_whole))
    assert copy_checkpoint(store.checkpoints, tmp_path / "1" / "checkpoints")
    assert (tmp_path / "1" / "checkpoints" / "model").read_text() == ("left" if is_whole else "older")


def test_what_the_target_had_is_gone_with_its_generations(tmp_path):
    source, target = make(tmp_path / "0" / "checkpoints", "new"), make(tmp_path / "1" / "checkpoints", "old")
    target.take(Generation(1, 0, 1, 1, read_tree(target.checkpoints), {}), None)
    (target.checkpoints / "more").write_text("")
    assert copy_checkpoint(source.checkpoints, target.checkpoints)
    assert os.listdir(target.checkpoints) == ["model"]
    assert target.numbers() == []


def test_a_folder_that_nobody_has_watched_is_copied_again_while_it_changes(tmp_path):
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


def test_what_changes_while_it_is_copied_is_copied_again(tmp_path, monkeypatch):
    source = tmp_path / "source"
    make(source, "before")
    place, num_copies = copying._place, []

    def place_while_it_is_written_to(tree, folder, target):
        place(tree, folder, target)
        num_copies.append(None)
        if len(num_copies) == 1:
            (tmp_path / "aside").write_text("after")
            os.replace(tmp_path / "aside", source / "model")

    monkeypatch.setattr(copying, "_place", place_while_it_is_written_to)
    assert copy_checkpoint(source, tmp_path / "target")
    assert (tmp_path / "target" / "model").read_text() == "after"


def test_there_may_be_nothing_to_copy(tmp_path):
    assert not copy_checkpoint(tmp_path / "nothing", tmp_path / "target")
    assert not (tmp_path / "target").exists()
