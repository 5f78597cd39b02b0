"""A save that was begun before a report is known, although the kernel has not told of it, with real processes."""

from __future__ import annotations

import os

import pytest

from syne_hypersched.checkpoints import _unannounced
from syne_hypersched.checkpoints._changes import Change
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

    CLOSED = Change("closed", "model")

    @pytest.fixture
    def known(self, folder):
        return read_tree(folder)["model"]

    def test_what_is_as_it_was_was_only_read(self, folder, known):
        files = Unannounced(str(folder))
        assert files.is_only_read(0, self.CLOSED, known)
        os.utime(folder / "model", (200.0, 200.0))
        assert not files.is_only_read(0, self.CLOSED, known)
        files.close("model")
        assert files.is_only_read(0, self.CLOSED, known)
        os.remove(folder / "model")
        assert not files.is_only_read(0, self.CLOSED, known)

    def test_what_is_written_to_after_that_was_only_read_before(self, folder, known, child):
        files = Unannounced(str(folder))
        os.utime(folder / "model", (200.0, 200.0))
        later = (None, Change("written", "optimizer"), Change("written", "model"))
        files.see((self.CLOSED, *later))
        assert files.is_only_read(0, self.CLOSED, known)
        files.see((self.CLOSED, *later[:2]))
        assert not files.is_only_read(0, self.CLOSED, known)
        files.see((*later, self.CLOSED))
        assert not files.is_only_read(3, self.CLOSED, known)
        opened(child, folder / "model")
        assert files.is_only_read(0, self.CLOSED, known)
        child.do("file.close()")

    def test_new_files_and_other_changes_are_none_of_these(self, folder, known):
        files = Unannounced(str(folder))
        assert not files.is_only_read(0, self.CLOSED, None)
        assert not files.is_only_read(0, Change("moved", "model"), known)

    def test_a_new_file_that_was_closed_before_may_be_only_read_as_well(self, folder):
        files = Unannounced(str(folder))
        files.close("model")
        assert files.is_only_read(0, self.CLOSED, None)
