"""One tuner at a time: a lock that ends with the process that holds it, whatever ends it."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path


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
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._fd, 1000).decode(errors="replace").strip()
            os.close(self._fd)
            raise RuntimeError(
                f"the experiment in {path.parent.parent} still runs ({holder or 'its tuner has just been started'}): "
                "it can be resumed only when its tuner has ended"
            ) from None
        #: When the holder before was last alive (seconds since the epoch).
        self.last_alive = os.fstat(self._fd).st_mtime
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        os.utime(self._fd, (self.last_alive, self.last_alive))  # until it says so itself

    def touch(self) -> None:
        """Shows that the holder is alive."""
        os.utime(self._fd)

    def release(self) -> None:
        """Lets others have the lock."""
        os.close(self._fd)
