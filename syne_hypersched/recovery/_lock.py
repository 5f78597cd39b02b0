"""One tuner at a time: a lock that ends with the process that holds it, whatever ends it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from pathlib import Path

from syne_hypersched._moments import Moment

#: A process that a dead tuner was just forking has the lock, too, for the moment that it lives on.
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
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        give_up_at = time.monotonic() + _PATIENCE_S
        while not self._is_free():
            if time.monotonic() >= give_up_at:
                holder = os.pread(self._fd, 1000, 0).decode(errors="replace").partition("\n")[0].strip()
                os.close(self._fd)
                raise RuntimeError(
                    f"the experiment in {path.parent.parent} still runs ({holder or 'its tuner has just been started'}"
                    "): it can be resumed only when its tuner has ended"
                )
            time.sleep(_PAUSE_S)
        modified = os.fstat(self._fd).st_mtime
        #: When the holder before was last alive.
        self.last_alive = _moment(os.pread(self._fd, 1000, 0).decode(errors="replace"), modified)
        os.ftruncate(self._fd, 0)
        #: Where in the file the line begins that says when the holder was last alive.
        self._offset = os.pwrite(self._fd, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        self._say_alive(self.last_alive)  # until it says so itself

    def _is_free(self) -> bool:
        """Takes the lock if nobody has it, and says so."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def touch(self) -> None:
        """Shows that the holder is alive."""
        self._say_alive(Moment.now())

    def _say_alive(self, moment: Moment) -> None:
        # A line of the same length each time, so that none is ever mixed with the one before. A disk may be full: the
        # line was there then, or else the time of the last change of the file is.
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, f"{moment.boot_s or 0.0:020.6f} {moment.boot_id}\n".encode(), self._offset)
        os.utime(self._fd, (moment.timestamp, moment.timestamp))

    def release(self) -> None:
        """Lets others have the lock."""
        os.close(self._fd)


def _moment(content: str, modified: float) -> Moment:
    """The moment that a lock names. One of an older version, or one that a crash has torn, has only the file's time."""
    with contextlib.suppress(ValueError):
        _, line = content.split("\n", 1)
        boot_s, boot_id = line.split()
        return Moment(modified, float(boot_s), None if boot_id == "None" else boot_id)
    return Moment(modified)
