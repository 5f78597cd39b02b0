"""Locks on files: their holders, their release, and file systems without locks."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from syne_hypersched._file_lock import FileLock

HOLD = """
import os, sys, time
from syne_hypersched._file_lock import FileLock
lock = FileLock(sys.argv[1])
assert lock.acquire()
if os.fork() == 0:
    print(os.getpid(), flush=True)
time.sleep(600)
"""


def test_one_holds_it_at_a_time(tmp_path):
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.acquire()
    assert not second.acquire()
    assert not second.acquire(shared=True)
    first.close()
    first.close()
    assert second.acquire()
    second.close()


def test_those_that_share_it_exclude_others(tmp_path):
    first, second, third = (FileLock(tmp_path / "lock") for _ in range(3))
    assert first.acquire(shared=True)
    assert second.acquire(shared=True)
    assert not third.acquire()


def test_another_process_can_read_its_text(tmp_path):
    lock = FileLock(tmp_path / "lock")
    assert lock.write("a longer text") == 13
    assert lock.write("text") == 4
    assert FileLock(tmp_path / "lock").read() == "text"
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


def test_reading_the_file_does_not_free_it(tmp_path):
    """As it would with locks of fcntl."""
    lock = FileLock(tmp_path / "lock")
    assert lock.acquire()
    (tmp_path / "lock").read_text()
    assert not FileLock(tmp_path / "lock").acquire()


def test_a_killed_holder_frees_it_though_its_child_lives(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    child = int(holder.stdout.readline())
    try:
        assert not FileLock(tmp_path / "lock").acquire()
        holder.kill()
        holder.wait()
        assert FileLock(tmp_path / "lock").acquire()
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)
        holder.stdout.close()


def test_a_child_has_none_and_its_parent_keeps_its_own(tmp_path):
    lock = FileLock(tmp_path / "lock")
    assert lock.acquire()
    child = os.fork()
    if child == 0:
        os._exit(3 if lock.is_open else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert lock.is_open
    assert not FileLock(tmp_path / "lock").acquire()


def test_no_link_is_followed(tmp_path):
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        FileLock(tmp_path / "lock")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch, error):
    """There is none here, so the system call says so."""

    def refuse(fd, operation):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="must be on a file system with locks"):
        FileLock(tmp_path / "lock").acquire()


def test_a_closed_lock_raises_an_error_that_says_so(tmp_path):
    lock = FileLock(tmp_path / "lock")
    lock.close()
    with pytest.raises(ValueError, match="must be open, but is closed"):
        lock.acquire()
