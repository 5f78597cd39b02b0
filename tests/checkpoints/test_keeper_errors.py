"""Errors of a keeper are told, and copies are not waited for."""

from __future__ import annotations

import errno

import pytest

from syne_hypersched.checkpoints import (
    GenerationStore,
)
from syne_hypersched.checkpoints import _drain as drain_module
from syne_hypersched.checkpoints import _keeper as keeper_module
from syne_hypersched.checkpoints._states import State

pytestmark = pytest.mark.usefixtures("no_process_left")


def test_nobody_waits_for_a_copy(in_process, monkeypatch, wait_for):
    """The supervisor keeps the time of the deadline while a checkpoint of any size is copied."""
    monkeypatch.setattr(keeper_module, "_PATIENCE_S", 0.0)
    script = in_process()
    copying, may_end = keeper_module.threading.Event(), keeper_module.threading.Event()
    take = GenerationStore.take

    def slow(*arguments, **options):
        copying.set()
        may_end.wait()
        return take(*arguments, **options)

    monkeypatch.setattr(GenerationStore, "take", slow)
    script.do(f"file = open({str(script.folder / 'model')!r}, 'w'); file.write('x'); file.close()")
    wait_for(copying.is_set)
    script.keeper.follow("step", "accuracy", False)
    wait_for(lambda: not script.keeper.is_saving())
    script.do(f"file = open({str(script.folder / 'other')!r}, 'w'); file.write('x'); file.flush()")
    assert script.keeper.is_saving()
    script.keeper.drain()
    may_end.set()
    script.do("file.close()")
    script.report(1, 1.0)  # it has not left, although it was asked to
    wait_for(lambda: not script.keeper.is_saving())
    assert script.end().is_whole


def test_an_error_is_told_and_the_launch_takes_place(in_process, monkeypatch):
    def fail(*_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(keeper_module, "read_tree", fail)
        script = in_process()
    assert "Permission denied" in script.beginning.error
    assert not script.keeper.is_saving()
    script.keeper.drain()
    ending = script.end()
    assert (ending.is_whole, "Permission denied" in ending.error) == (False, True)


def test_a_folder_that_cannot_be_watched_is_told_when_the_launch_begins(in_process, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EMFILE, "too many programs watch files")

    with monkeypatch.context() as patch:
        patch.setattr(keeper_module, "ChangeWatch", refuse)
        script = in_process()
    assert "best/ may get no checkpoint: " in script.beginning.error
    assert "too many programs watch files" in script.beginning.error
    ending = script.end()
    assert (ending.is_whole, ending.error) == (False, script.beginning.error)


def test_an_error_at_the_end_is_told(in_process, monkeypatch):
    def fail(*_):
        raise PermissionError(13, "Permission denied")

    script = in_process()
    monkeypatch.setattr(script.keeper._taker, "present", fail)
    ending = script.end()
    assert (ending.is_whole, "Permission denied" in ending.error) == (False, True)


def test_an_error_before_sigterm_is_told_and_the_launch_ends(in_process, monkeypatch):
    def fail(*_):
        raise PermissionError(13, "Permission denied")

    script = in_process()
    with monkeypatch.context() as patch:
        patch.setattr(drain_module, "read_tree", fail)
        script.keeper.drain()
    assert "Permission denied" in script.end().error


@pytest.mark.parametrize("leaves_more", [True, False])
def test_a_last_complete_checkpoint_with_which_the_next_launch_goes_on_is_a_copy(in_process, monkeypatch, leaves_more):
    """A hard link would change with the file, which the script writes in place."""
    script = in_process()
    path = script.folder / "model"
    script.do(f"file = open({str(path)!r}, 'w'); file.write('one'); file.close()")
    if leaves_more:
        (script.folder / "half").write_text("of the next one")
    tree = {name: state for name, state in keeper_module.read_tree(script.folder).items() if name == "model"}
    monkeypatch.setattr(script.keeper._observer, "last_complete", lambda: (tree, State(1, 1, 0.0)))
    with script.keeper._lock:
        script.keeper._taker.take_last_complete(is_tried=False)
        generation = script.keeper._shelf.newest
        assert generation is not None
        kept = script.keeper._store.files(generation.number) / "model"
        assert kept.samefile(path) is leaves_more  # then the folder is put back from the generation
