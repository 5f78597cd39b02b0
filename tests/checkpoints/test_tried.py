"""A checkpoint that may not be whole becomes a generation if a launch has loaded it, even if it is overwritten then."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest

from syne_hypersched.checkpoints import CheckpointSpec, GenerationKeeper, GenerationStore, Notes
from syne_hypersched.checkpoints._files import read_tree
from syne_hypersched.checkpoints._shelf import NoRoomError, Shelf


class Trial:
    """A trial whose checkpoint is tried, and a keeper that is told what to look at, and when."""

    def __init__(self, folder, levels=(1.0,)):
        self.folder = folder / "0" / "checkpoints"
        self.folder.mkdir(parents=True)
        self.store = GenerationStore(self.folder)
        self.write("epoch 1")
        self.log = folder / "0" / "std.out"
        self.log.touch()
        known = {str(number): level for number, level in enumerate(levels, 1)}
        self.store.write_notes(
            Notes(
                num_reports=len(levels),
                left=read_tree(self.folder),
                evidence={"levels": known, "highest": max(levels, default=-1e308), "step": None, "level": None},
            )
        )
        self.spec = CheckpointSpec(
            str(self.folder), str(self.log), launch=0, num_reports=len(levels), time_attr="epoch", metric="loss"
        )
        self.again()

    def again(self):
        """The next launch."""
        self.spec = dataclasses.replace(self.spec, launch=self.spec.launch + 1)
        self.keeper = GenerationKeeper(self.spec, lambda _: None)
        assert not self.keeper.prepare().restored

    def write(self, text):
        (self.folder / "model").write_text(text)

    def report(self, level):
        with open(self.log, "a") as file:
            file.write(f"[tune-metric]: {json.dumps({'epoch': level, 'loss': 1.0})}\n")

    def copy(self):
        self.keeper._tried.copy(read_tree(self.folder))

    def held(self):
        return (self.store.folder / ".held").exists()

    def kept(self):
        """What is in the generations."""
        return [(self.store.files(number) / "model").read_text() for number in self.store.numbers()]

    def end(self):
        ending = self.keeper.finish([-9])
        self.keeper.close()
        return ending


@pytest.mark.parametrize("is_told_at_once", [True, False])
def test_what_was_loaded_is_kept_although_it_is_being_overwritten(tmp_path, is_told_at_once):
    trial = Trial(tmp_path)
    trial.copy()
    assert trial.held()
    assert trial.kept() == []  # nobody knows yet whether it is whole
    trial.report(2.0)
    with open(trial.folder / "model", "w") as file:
        file.write("half of")
        file.flush()
        if is_told_at_once:
            trial.keeper._act()
            assert trial.kept() == ["epoch 1"]
        assert not trial.end().is_whole
    assert trial.kept() == ["epoch 1"]
    assert not trial.held()


@pytest.mark.parametrize(
    ("levels", "reports"),
    [
        ((1.0,), []),
        ((1.0,), [1.0]),
        ((1.0,), [1.0, 2.0]),  # it has begun anew
        ((0.0, 1.0), [0.0, 1.0, 2.0]),
        ((3.0, 4.0), [3.0]),  # or from something older
        ((), [2.0]),  # nothing is known
    ],
)
def test_what_may_not_have_been_loaded_is_not_kept(tmp_path, levels, reports):
    trial = Trial(tmp_path, levels)
    trial.copy()
    for level in reports:
        trial.report(level)
    with open(trial.folder / "model", "w") as file:
        file.write("half of")
        file.flush()
        trial.end()
    assert trial.kept() == []
    assert not trial.held()


@pytest.mark.parametrize("name", ["model", "model.tmp"])
def test_a_launch_that_is_killed_in_its_first_save_leaves_the_checkpoint_to_the_next_one(tmp_path, name):
    """Whether it has loaded the checkpoint shows only with its first report."""
    trial = Trial(tmp_path)
    trial.copy()
    with open(trial.folder / name, "w") as file:
        file.write("half of")
        file.flush()
        assert not trial.end().is_whole
    assert (trial.folder / "model").read_text() == "epoch 1"
    assert not trial.held()
    assert trial.kept() == []  # it may not be whole
    trial.again()
    assert (trial.folder / "model").read_text() == "epoch 1"
    trial.copy()
    trial.report(2.0)
    trial.end()
    assert trial.kept() == ["epoch 1"]


def test_what_is_overwritten_before_it_is_copied_is_not_kept(tmp_path):
    trial = Trial(tmp_path)
    trial.write("epoch 2")
    trial.copy()
    assert not trial.held()
    trial.report(3.0)
    with open(trial.folder / "model", "w") as file:
        trial.end()
        file.write("half of")
    assert trial.kept() == []


def test_a_copy_for_which_there_is_no_room_is_left_out(tmp_path, monkeypatch):
    trial = Trial(tmp_path)

    def fail(*_):
        raise NoRoomError("there is no room")

    monkeypatch.setattr(Shelf, "hold", fail)
    trial.copy()
    trial.report(2.0)
    trial.keeper._act()
    assert not trial.end().error


def test_a_copy_that_a_killed_supervisor_has_left_is_removed(tmp_path):
    trial = Trial(tmp_path)
    trial.copy()
    assert trial.held()
    Shelf(trial.keeper._spec, trial.store, trial.store.notes())
    assert not trial.held()


def test_why_a_copy_could_not_be_kept_is_told(tmp_path, monkeypatch):
    trial = Trial(tmp_path)
    trial.copy()
    trial.report(2.0)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(GenerationStore, "put_held", fail)
    assert "could not be kept" in trial.end().error


def test_a_report_that_is_read_while_the_checkpoint_is_copied_is_acted_on(tmp_path, monkeypatch, wait_for):
    """Nothing else may come that would wake the thread, and the script may then write in place."""
    trial, take = Trial(tmp_path), GenerationStore.take

    def slowly(store, generation, older, is_changing=lambda: False, **options):
        def is_changing_at_last():
            trial.report(2)
            return is_changing()

        return take(store, generation, older, is_changing_at_last, **options)

    monkeypatch.setattr(GenerationStore, "take", slowly)
    trial.keeper.start([os.getpid()])
    wait_for(trial.kept)
    trial.write("half")
    trial.end()
    assert trial.kept() == ["epoch 1"]
