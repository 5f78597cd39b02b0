"""One tuner at a time: a lock that ends with the process that holds it, whatever ends it."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from pathlib import Path

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
                holder = os.read(self._fd, 1000).decode(errors="replace").strip()
                os.close(self._fd)
                raise RuntimeError(
                    f"the experiment in {path.parent.parent} still runs ({holder or 'its tuner has just been started'}"
                    "): it can be resumed only when its tuner has ended"
                )
            time.sleep(_PAUSE_S)
        #: When the holder before was last alive (seconds since the epoch).
        self.last_alive = os.fstat(self._fd).st_mtime
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        os.utime(self._fd, (self.last_alive, self.last_alive))  # until it says so itself

    def _is_free(self) -> bool:
        """Takes the lock if nobody has it, and says so."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def touch(self) -> None:
        """Shows that the holder is alive."""
        os.utime(self._fd)

    def release(self) -> None:
        """Lets others have the lock."""
        os.close(self._fd)
