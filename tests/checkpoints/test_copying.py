"""A trial begins with the checkpoint of another one, which may be running."""

from __future__ import annotations

import os
import threading

import pytest

from syne_hypersched.checkpoints import Generation, GenerationStore, Notes, copying
from syne_hypersched.checkpoints._files import read_tree
from syne_hypersched.checkpoints.copying import CheckpointCopies, copy_checkpoint


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
    store.write_notes(Notes(left=read_tree(store.checkpoints), is_whole=is_whole))
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

    def place_while_it_is_written_to(tree, folder, target, *leases):
        place(tree, folder, target, *leases)
        num_copies.append(None)
        if len(num_copies) == 1:
            (tmp_path / "aside").write_text("after")
            os.replace(tmp_path / "aside", source / "model")

    monkeypatch.setattr(copying, "_place", place_while_it_is_written_to)
    assert copy_checkpoint(source, tmp_path / "target")
    assert (tmp_path / "target" / "model").read_text() == "after"


def test_half_of_a_file_that_is_being_written_is_not_copied(tmp_path, monkeypatch):
    source = tmp_path / "source"
    make(source, "epoch 1")
    with open(source / "model", "w") as file:
        file.write("half of")
        file.flush()

        def finish(_):
            file.write(" epoch 2")
            file.close()
            monkeypatch.undo()

        monkeypatch.setattr(copying.time, "sleep", finish)
        assert copy_checkpoint(source, tmp_path / "target")
    assert (tmp_path / "target" / "model").read_text() == "half of epoch 2"


def test_a_file_that_stays_open_is_copied_in_the_end(tmp_path, monkeypatch):
    source = tmp_path / "source"
    make(source, "epoch 1")
    monkeypatch.setattr(copying.time, "sleep", lambda _: None)
    with open(source / "log", "w"):
        assert copy_checkpoint(source, tmp_path / "target")
    assert (tmp_path / "target" / "model").read_text() == "epoch 1"


@pytest.mark.parametrize("name", ["log", "train.log"])
def test_what_changes_during_each_copy_is_not_copied_unless_it_is_a_log(tmp_path, monkeypatch, name):
    source = tmp_path / "source"
    make(source, "epoch 1")
    place = copying._place

    def place_and_write(tree, folder, target, *leases):
        place(tree, folder, target, *leases)
        (tmp_path / "aside").write_text("more")
        os.replace(tmp_path / "aside", source / name)

    monkeypatch.setattr(copying, "_place", place_and_write)
    monkeypatch.setattr(copying.time, "sleep", lambda _: None)
    if name == "train.log":
        assert copy_checkpoint(source, tmp_path / "target")
        assert (tmp_path / "target" / "model").read_text() == "epoch 1"
        return
    with pytest.raises(OSError, match="written to all the time"):
        copy_checkpoint(source, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_generation_that_comes_while_the_folder_changes_is_copied(tmp_path, monkeypatch):
    store = make(tmp_path / "0" / "checkpoints", "whole")
    tree, place = read_tree(store.checkpoints), copying._place

    def place_and_take(*arguments):
        place(*arguments)
        if not store.numbers():
            store.take(Generation(1, 0, 1, 1, tree, {}), None)
            (tmp_path / "aside").write_text("half of the next one")
            os.replace(tmp_path / "aside", store.checkpoints / "model")

    monkeypatch.setattr(copying, "_place", place_and_take)
    assert copy_checkpoint(store.checkpoints, tmp_path / "1" / "checkpoints")
    assert (tmp_path / "1" / "checkpoints" / "model").read_text() == "whole"


def removing(store, monkeypatch, times):
    """While a generation is copied, the trial takes a newer one, and the oldest is removed, as often as it is told."""
    place, left = copying.place_tree, [times]

    def place_while_newer_ones_come(tree, target, source, is_linked, *go_on):
        if left[0] and target.name.endswith("-copied"):
            left[0] -= 1
            number = store.numbers()[-1]
            make(store.checkpoints, f"epoch {number + 1}")
            store.take(Generation(number + 1, 0, number + 1, number + 1, read_tree(store.checkpoints), {}), None)
            make(store.checkpoints, "half of the next one")
            store.remove(number)
        return place(tree, target, source, is_linked, *go_on)

    monkeypatch.setattr(copying, "place_tree", place_while_newer_ones_come)


def test_a_generation_that_is_removed_while_it_is_copied_is_followed_by_the_next_one(tmp_path, monkeypatch):
    store = make(tmp_path / "0" / "checkpoints", "epoch 1")
    store.take(Generation(1, 0, 1, 1, read_tree(store.checkpoints), {}), None)
    removing(store, monkeypatch, times=3)
    assert copy_checkpoint(store.checkpoints, tmp_path / "1" / "checkpoints")
    assert (tmp_path / "1" / "checkpoints" / "model").read_text() == "epoch 4"
    assert os.listdir(tmp_path / "1") == ["checkpoints"]


def test_a_large_generation_that_is_removed_during_the_copy_is_copied_whole(tmp_path, monkeypatch):
    store = make(tmp_path / "0" / "checkpoints", "whole")
    store.take(Generation(1, 0, 1, 1, read_tree(store.checkpoints), {}), None)
    make(store.checkpoints, "half of the next one")
    place = copying._place

    def place_late(tree, source, target):
        store.remove(1)
        place(tree, source, target)

    monkeypatch.setattr(copying, "_place", place_late)
    assert copy_checkpoint(store.checkpoints, tmp_path / "1" / "checkpoints")
    assert (tmp_path / "1" / "checkpoints" / "model").read_text() == "whole"


def test_half_a_copy_is_no_checkpoint(tmp_path, monkeypatch):
    make(tmp_path / "source", "text")

    def place_half(tree, source, target, *_):
        target.mkdir()
        (target / "half").touch()
        raise FileNotFoundError("replaced again and again")

    monkeypatch.setattr(copying, "_place", place_half)
    monkeypatch.setattr(copying, "_SETTLE_PAUSE_S", 0.0)
    with pytest.raises(OSError, match="written to all the time"):
        copy_checkpoint(tmp_path / "source", tmp_path / "target")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("has_generation", [True, False])
def test_a_copy_waits_for_room(tmp_path, monkeypatch, caplog, has_generation):
    store = make(tmp_path / "0" / "checkpoints", "x" * 2_000_000)
    if has_generation:
        store.take(Generation(1, 0, 1, 1, read_tree(store.checkpoints), {}), None)
    copies = CheckpointCopies(lambda trial_id: tmp_path / str(trial_id) / "checkpoints", min_free_mb=10.0)
    free = [11.0]
    monkeypatch.setattr(copying, "free_mb", lambda folder: free[0])
    copies.order(0, 1)
    assert copies.is_source(0)
    assert not copies.explain(1)
    with pytest.raises(OSError, match=r"no room for a copy \(2 MB\) of the checkpoint with which a trial begins"):
        copies.make(1)
    assert not (tmp_path / "1" / "checkpoints").exists()
    free[0] = 12.0
    copies.make(1)
    assert not copies.is_source(0)
    assert [copies.explain(1), copies.explain(1), copies.explain(2)] == [True, True, False]
    assert caplog.text.count("began with the checkpoint of another trial and ended without a report") == 1
    assert len((tmp_path / "1" / "checkpoints" / "model").read_text()) == 2_000_000
    copies.make(2)  # it begins from none
    assert not (tmp_path / "2").exists()


def test_a_checkpoint_that_cannot_be_copied_is_the_affair_of_one_trial(tmp_path, monkeypatch, caplog):
    def is_forbidden(*_):
        raise PermissionError(13, "Permission denied")

    make(tmp_path / "0", "text")
    monkeypatch.setattr(copying, "_place", is_forbidden)
    copies = CheckpointCopies(lambda trial_id: tmp_path / str(trial_id), min_free_mb=0.0)
    copies.order(0, 1)
    assert "Trial 0 has a checkpoint that cannot be copied ([Errno 13] Permission denied) in " in caplog.text
    assert "trial 1 starts without a checkpoint" in caplog.text
    assert not copies.is_source(0)
    assert not copies.explain(1)


def test_there_may_be_nothing_to_copy(tmp_path):
    assert not copy_checkpoint(tmp_path / "nothing", tmp_path / "target")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    ("is_there", "has_begun", "begins_with"),
    [(False, False, "source"), (True, False, "copy"), (False, True, None), (True, True, "copy")],
)
def test_a_trial_of_a_tuner_that_has_died_gets_its_copy_if_it_has_none(tmp_path, is_there, has_begun, begins_with):
    make(tmp_path / "0" / "checkpoints", "source")
    target = tmp_path / "1" / "checkpoints"
    if is_there:
        make(target, "copy")  # of what the other trial had when the trial was started
    copies = CheckpointCopies(lambda trial_id: tmp_path / str(trial_id) / "checkpoints", 0.0)
    copies.restore(0, 1, has_begun)
    assert copies.is_source(0) == (begins_with == "source")
    copies.make(1)
    assert (target / "model").read_text() == begins_with if begins_with is not None else not target.exists()
    assert copies.explain(1)  # the trial may end without a report


def test_half_of_a_copy_is_no_checkpoint(tmp_path, monkeypatch):
    source, target = make(tmp_path / "0" / "checkpoints", "whole").checkpoints, tmp_path / "1" / "checkpoints"

    def is_killed(tree, folder, *_):
        make(folder, "half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(copying, "place_tree", is_killed)
        patch.setattr(copying, "_forget", lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            copy_checkpoint(source, target)
    assert not target.exists()
    assert copy_checkpoint(source, target)
    assert [path.name for path in target.parent.iterdir()] == ["checkpoints"]
    assert (target / "model").read_text() == "whole"
