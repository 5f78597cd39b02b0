"""A save that was begun before a report is known, although the kernel has not told of it, with real processes."""

from __future__ import annotations

import os

import pytest

from syne_hypersched.checkpoints import _unannounced
from syne_hypersched.checkpoints._change import Change
from syne_hypersched.checkpoints._files import read_tree
from syne_hypersched.checkpoints._unannounced import Unannounced

pytestmark = pytest.mark.usefixtures("no_process_left")


@pytest.fixture
def folder(tmp_path):
    for name in ("model", "optimizer"):
        (tmp_path / name).write_text("old")
        os.utime(tmp_path / name, (100.0, 100.0))
    return tmp_path


def opened(child, path, mode="w"):
    child.do(f"file = open({str(path)!r}, {mode!r})")


def test_a_file_that_was_opened_before_a_report_is_found(folder, child):
    files = Unannounced(str(folder))
    for name in ("model", "optimizer"):
        files.close(name)
    opened(child, folder / "model")
    os.utime(folder / "model", (200.0, 200.0))  # the time of its truncation
    assert files.begun_before(300.0, ()) == ["model"]
    assert files.begun_before(300.0, ("model",)) == []
    assert files.begun_before(150.0, ()) == []  # it was truncated after the report
    assert files.begun_before(None, ()) == []
    assert files.begun_again(()) == []
    child.do("file.close()")
    assert files.begun_before(300.0, ()) == []


def test_a_file_that_was_opened_and_not_written_to_was_not_begun(folder, child):
    files = Unannounced(str(folder))
    files.close("model")
    opened(child, folder / "model", "r+")
    assert files.begun_before(300.0, ()) == []


def test_a_file_that_is_written_to_again_when_its_end_is_noticed_is_found(folder, child):
    files = Unannounced(str(folder))
    opened(child, folder / "model", "r+")
    files.close("model")
    files.close("optimizer")
    assert files.begun_before(300.0, ()) == ["model"]
    assert files.begun_again(("model",)) == []
    files.close("model")
    assert files.begun_again(()) == ["model"]
    assert files.begun_again(()) == []  # it was told
    child.do("file.close()")
    files.close("model")
    assert files.begun_again(()) == []


def test_what_is_gone_is_not_looked_at(folder, child):
    files = Unannounced(str(folder))
    opened(child, folder / "model", "r+")
    files.close("model")
    files.close("optimizer")
    files.forget("model")
    files.close("never there")
    files.forget("nor this")
    (folder / "optimizer").unlink()
    assert files.begun_before(300.0, ()) == []
    assert files.begun_again(()) == []


def test_only_some_files_are_looked_at(folder, child, monkeypatch):
    monkeypatch.setattr(_unannounced, "_MOST_FILES", 1)
    files = Unannounced(str(folder))
    opened(child, folder / "model", "r+")
    files.close("model")
    files.close("optimizer")
    assert files.begun_before(300.0, ()) == []


def test_a_file_that_was_closed_is_written_to_as_long_as_it_is_mapped_into_memory(folder, child):
    files, model = Unannounced(str(folder)), str(folder / "model")
    child.do(
        "import ctypes; c = ctypes.CDLL(None); c.mmap.restype = ctypes.c_void_p; "
        f"fd = os.open({model!r}, os.O_RDWR); "
        "place = c.mmap(None, ctypes.c_size_t(3), 3, 1, fd, ctypes.c_long(0)); os.close(fd)"
    )
    assert files.mapped(("model", "optimizer", "gone")) == {model}
    child.do("c.munmap(ctypes.c_void_p(place), ctypes.c_size_t(3))")
    assert files.mapped(("model", "optimizer")) == frozenset()


class TestOnlyRead:
    """A file that was opened for writing and closed again, perhaps without a change."""

    CLOSED, WRITTEN = Change("closed", "model"), Change("written", "model")

    @pytest.fixture
    def known(self, folder):
        return read_tree(folder)["model"]

    @staticmethod
    def told(files, changes, known=None):
        """Whether each change is of a file that is only read; the files are closed where they are not."""
        found, written = [], set()
        for change in filter(None, changes):
            found.append(files.is_only_read(change, known, written))
            (written.add if change.kind == "written" else written.discard)(change.path)
            if change.kind == "closed" and not found[-1]:
                files.close(change.path)
        return found

    def read(self, files, *changes, known=None):
        return self.told(files, files.examine(list(changes)), known)

    def test_what_is_as_it_was_was_only_read(self, folder, known):
        files = Unannounced(str(folder))
        assert self.read(files, self.CLOSED, known=known) == [True]
        os.utime(folder / "model", (200.0, 200.0))
        assert self.read(files, self.CLOSED, known=known) == [False]  # as after a write through a memory map
        assert self.read(files, self.CLOSED, known=known) == [True]
        os.remove(folder / "model")
        files.begun_again(())
        assert self.read(files, self.CLOSED, known=known) == [False]

    def test_what_is_written_to_after_that_was_only_read_before(self, folder, known, child):
        files = Unannounced(str(folder))
        os.utime(folder / "model", (200.0, 200.0))
        other = Change("written", "optimizer")
        assert self.read(files, self.CLOSED, None, other, self.WRITTEN, known=known) == [True, False, False]
        files.begun_again(())
        assert self.read(files, self.WRITTEN, self.CLOSED, known=known) == [False, False]
        files.begun_again(())
        os.utime(folder / "model", (300.0, 300.0))
        assert self.read(files, self.CLOSED, None, other, known=known) == [False, False]
        os.utime(folder / "model", (400.0, 400.0))
        opened(child, folder / "model")
        assert self.read(files, self.CLOSED, known=known) == [True]
        child.do("file.close()")

    def test_what_is_written_to_before_it_is_told_was_only_read(self, folder, known):
        """The write is read next, or it came after the file was examined."""
        files = Unannounced(str(folder))
        first = files.examine([self.CLOSED])
        (folder / "model").write_text("new")
        second = files.examine([self.WRITTEN, self.CLOSED])
        assert self.told(files, [*first, *second], known) == [True, False, False]
        assert self.read(files, self.CLOSED, known=known) == [True]

    def test_the_end_of_a_write_is_noted_as_it_was_examined(self, folder):
        files = Unannounced(str(folder))
        changes = files.examine([self.WRITTEN, self.CLOSED, self.CLOSED])
        (folder / "model").write_text("new")
        assert self.told(files, changes) == [False, False, True]

    def test_new_files_and_other_changes_are_none_of_these(self, folder, known):
        files = Unannounced(str(folder))
        assert self.read(files, self.CLOSED) == [False]
        assert self.read(files, Change("moved", "model"), known=known) == [False]

    def test_a_new_file_that_was_closed_before_may_be_only_read_as_well(self, folder):
        files = Unannounced(str(folder))
        files.close("model")
        assert self.read(files, self.CLOSED) == [True]
