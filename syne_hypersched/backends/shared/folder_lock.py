"""A lock on an experiment's folder: two tuners with one name at a time would mix their trials in it.

The kernel frees the lock when the tuner's process ends, whatever ends it, so a name can be used again at once (see
``_file_lock.py``, also about NFS). A folder on a file system without locks, or one that cannot be written to, is not
locked.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from pathlib import Path

from syne_hypersched._file_lock import FileLock
from syne_hypersched._storing import keep_metadata, store_nothing
from syne_hypersched.backends.shared.tuner_run import running_tuner
from syne_hypersched.filenames import TUNER_LOCK_FILENAME

logger = logging.getLogger(__name__)

#: Seconds for which a lock may still be held by what a tuner that has just died was forking, and by a tuner of this
#: process that was interrupted: its trials are being stopped.
_PATIENCE_S, _OWN_PATIENCE_S = 1.0, 5.0
_PAUSE_S = 0.02


class FolderLock:
    """The lock that one backend holds. A copy in another process, forked or unpickled, holds none.

    A ``with`` statement releases it at its end; of nested ``with`` statements, the outermost one does.

    .. code-block:: python

        lock = FolderLock()
        lock.acquire(folder)
        with lock:
            ...  # the trials are ended

    Parameters
    ----------
    is_own_free
        Whether a tuner of this process does not hold the folder against another one. A simulation, which leaves no
        process behind, may have been interrupted in a notebook before its end.
    """

    def __init__(self, is_own_free: bool = False) -> None:
        self._is_own_free = is_own_free
        self._lock: FileLock | None = None
        self._folder: Path | None = None
        self._depth = 0

    def acquire(self, folder: Path) -> None:
        """Locks a folder, which is made if need be; does nothing if it is locked already.

        Raises
        ------
        RuntimeError
            Another tuner uses the folder. The one that runs in this thread then writes nothing more to it.
        """
        if not self._holds(folder):
            self.release()
            try:
                self._lock = _locked(folder, for_itself=True, is_own_free=self._is_own_free)
            except RuntimeError:
                tuner = running_tuner()
                if tuner is not None:
                    store_nothing(tuner)
                raise
            self._folder = folder

    def check(self, folder: Path) -> None:
        """Checks that no other tuner uses a folder. Does not lock it.

        Raises
        ------
        RuntimeError
            One does.
        """
        if not self._holds(folder) and (folder / TUNER_LOCK_FILENAME).is_file():
            lock = _locked(folder, for_itself=False, is_own_free=self._is_own_free)
            if lock is not None:
                lock.close()

    def release(self) -> None:
        """Lets other tuners use the folder, which has the metadata of its own tuner then."""
        tuner = running_tuner() if self.is_held else None
        if tuner is not None and Path(tuner.tuner_path) == self._folder:
            keep_metadata(tuner)
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    @property
    def is_held(self) -> bool:
        """Whether a folder is locked."""
        return self._lock is not None and self._lock.is_open

    def _holds(self, folder: Path) -> bool:
        return self.is_held and self._folder == folder

    def __enter__(self) -> FolderLock:
        self._depth += 1
        return self

    def __exit__(self, *exception: object) -> None:
        self._depth -= 1
        if not self._depth:
            self.release()

    def __getstate__(self) -> dict[str, object]:
        return {"_lock": None, "_folder": None, "_depth": 0, "_is_own_free": self._is_own_free}

    def __setstate__(self, state: dict[str, object]) -> None:
        # An earlier version may have stored it.
        FolderLock.__init__(self, bool(state.get("_is_own_free")))


def _locked(folder: Path, for_itself: bool, is_own_free: bool) -> FileLock | None:
    """The lock of a folder, of this process alone or to look whether it is free; None: it cannot be locked."""
    lock = None
    try:
        if for_itself:
            folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / TUNER_LOCK_FILENAME)
        began_s = time.monotonic()
        while not lock.acquire(shared=not for_itself):
            holder = lock.read().strip() or "its tuner has just been started"
            if is_own_free and holder == _this_process():
                lock.close()
                return None
            if time.monotonic() - began_s >= (_OWN_PATIENCE_S if holder == _this_process() else _PATIENCE_S):
                holder += ", which is this one" if holder == _this_process() else ""
                lock.close()
                raise RuntimeError(
                    f"tuner_name must be that of no experiment that still runs, but the one in {folder} does "
                    f"({holder}): wait for its end, or use another name"
                )
            time.sleep(_PAUSE_S)
        if for_itself:
            lock.write(f"{_this_process()}\n")
    except OSError as error:  # also a full disk: then it may be locked, but does not name its holder
        logger.debug("%s is not locked, or does not say by whom: %s", folder, error)
    return lock


def _this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
