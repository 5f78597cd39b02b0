from __future__ import annotations

import ctypes
import errno
import os
import struct

import pytest

from syne_hypersched.checkpoints._inotify import (
    CLOSE_WRITE,
    CREATE,
    DELETE,
    IGNORED,
    ISDIR,
    MODIFY,
    MOVED_FROM,
    MOVED_TO,
    Inotify,
    InotifyEvent,
    _checked,
    _parse,
)

ALL = CREATE | MODIFY | CLOSE_WRITE | MOVED_FROM | MOVED_TO | DELETE


@pytest.fixture
def queue():
    queue = Inotify()
    yield queue
    queue.close()


def test_events_are_taken_apart():
    named = b"weights.pt".ljust(16, b"\0")
    data = struct.pack("iIII", 1, CREATE, 0, len(named)) + named + struct.pack("iIII", 2, MODIFY, 7, 0)
    assert list(_parse(data)) == [InotifyEvent(1, CREATE, 0, "weights.pt"), InotifyEvent(2, MODIFY, 7, "")]
    assert list(_parse(b"")) == []


def test_what_happens_in_a_folder_is_seen_in_order(queue, tmp_path):
    watch = queue.add(str(tmp_path), ALL)
    assert queue.read() == []
    (tmp_path / "a").write_text("x")
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "b").unlink()
    (tmp_path / "folder").mkdir()
    events = queue.read()
    assert [(event.mask, event.name) for event in events] == [
        (CREATE, "a"), (MODIFY, "a"), (CLOSE_WRITE, "a"), (MOVED_FROM, "a"), (MOVED_TO, "b"), (DELETE, "b"),
        (CREATE | ISDIR, "folder"),
    ]  # fmt: skip
    assert {event.watch for event in events} == {watch}
    moved = [event.cookie for event in events if event.mask in (MOVED_FROM, MOVED_TO)]
    assert moved[0] == moved[1] != 0
    assert queue.read() == [], "each is told once"


def test_more_events_than_fit_in_one_read(queue, tmp_path):
    queue.add(str(tmp_path), CREATE)
    names = [f"{index:0200d}" for index in range(400)]
    for name in names:
        (tmp_path / name).touch()
    assert sum(16 + 200 for _ in names) > 1 << 16
    assert [event.name for event in queue.read()] == names


def test_only_what_was_asked_for(queue, tmp_path):
    queue.add(str(tmp_path), DELETE)
    (tmp_path / "a").write_text("x")
    (tmp_path / "a").unlink()
    assert [event.mask for event in queue.read()] == [DELETE]


def test_a_watch_has_one_number_and_ends(queue, tmp_path):
    watch = queue.add(str(tmp_path), ALL)
    assert queue.add(str(tmp_path), ALL) == watch
    queue.remove(watch)
    (tmp_path / "a").touch()
    assert [(event.watch, event.mask) for event in queue.read()] == [(watch, IGNORED)]
    queue.remove(watch)


def test_a_missing_file_is_an_error_that_names_it(queue, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        queue.add(str(tmp_path / "none"), ALL)
    assert caught.value.filename == str(tmp_path / "none")


def test_the_queue_is_not_handed_to_other_programs():
    queue = Inotify()
    assert not os.get_inheritable(queue.fd)
    queue.close()
    with pytest.raises(OSError):
        os.fstat(queue.fd)


@pytest.mark.parametrize(
    ("number", "setting"), [(errno.EMFILE, "max_user_instances"), (errno.ENOSPC, "max_user_watches")]
)
def test_a_limit_is_named_with_its_present_value(number, setting):
    with open(f"/proc/sys/fs/inotify/{setting}") as file:
        now = int(file.read())
    ctypes.set_errno(number)
    with pytest.raises(OSError, match=rf"fs\.inotify\.{setting}, which is {now}: 'folder'") as caught:
        _checked(-1, "folder")
    assert caught.value.errno == number


def test_another_error_is_that_of_the_kernel(queue, tmp_path):
    with pytest.raises(FileNotFoundError, match="No such file or directory"):
        queue.add(str(tmp_path / "missing"), ALL)
