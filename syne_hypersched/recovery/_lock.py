"""One tuner at a time: a lock that ends with the process that holds it, whatever ends it (see ``_file_lock.py``)."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path

from syne_hypersched._file_lock import FileLock
from syne_hypersched._moments import Moment

#: A child that a tuner was forking when it died holds the lock for a moment, until it closes what it has inherited.
_PATIENCE_S = 1.0
_PAUSE_S = 0.02


class ExperimentLock:
    """An exclusive lock of a file, which also shows when its holder was last alive.

    Parameters
    ----------
    path
        The file; created if need be.

    Raises
    ------
    RuntimeError
        Another process, or another tuner in this one, holds the lock.
    OSError
        The file system has no locks.
    """

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path)
        try:
            self._acquire(path)
        except BaseException:
            self._lock.close()
            raise
        modified = os.fstat(self._lock.fd).st_mtime
        #: When the holder before was last alive.
        self.last_alive = _moment(self._lock.read(), modified)
        #: Where in the file the line begins that says when the holder was last alive.
        self._offset = self._lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._say_alive(self.last_alive)  # until it says so itself

    def _acquire(self, path: Path) -> None:
        give_up_at = time.monotonic() + _PATIENCE_S
        while not self._lock.acquire():
            if time.monotonic() >= give_up_at:
                holder = self._lock.read().partition("\n")[0].strip()
                raise RuntimeError(
                    f"the experiment in {path.parent.parent} still runs ({holder or 'its tuner has just been started'}"
                    "): it can be resumed only when its tuner has ended"
                )
            time.sleep(_PAUSE_S)

    def touch(self) -> None:
        """Shows that the holder is alive."""
        self._say_alive(Moment.now())

    def _say_alive(self, moment: Moment) -> None:
        # A line of the same length each time, so that none is ever mixed with the one before. A disk may be full: the
        # line was there then, or else the time of the last change of the file is.
        with contextlib.suppress(OSError):
            os.pwrite(self._lock.fd, f"{moment.boot_s or 0.0:020.6f} {moment.boot_id}\n".encode(), self._offset)
        os.utime(self._lock.fd, (moment.timestamp, moment.timestamp))

    def release(self) -> None:
        """Releases the lock; further calls do nothing."""
        self._lock.close()


def last_alive(path: Path) -> Moment | None:
    """When the last holder of a lock was alive; None if one holds it, or there was none. Does not change the file."""
    if not path.is_file():
        return None
    lock = FileLock(path)
    try:
        return _moment(lock.read(), os.fstat(lock.fd).st_mtime) if lock.acquire(shared=True) else None
    finally:
        lock.close()


def _moment(content: str, modified: float) -> Moment:
    """The moment that a lock names. One of an older version, or one that a crash has torn, has only the file's time."""
    with contextlib.suppress(ValueError):
        _, line = content.split("\n", 1)
        boot_s, boot_id = line.split()
        return Moment(modified, float(boot_s), None if boot_id == "None" else boot_id)
    return Moment(modified)
