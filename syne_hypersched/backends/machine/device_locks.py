"""A lock for each device, so that two experiments on one machine do not use the same one unknowingly.

The locks are files below a folder of the user's own: ``$XDG_RUNTIME_DIR``, or else ``/tmp/syne-hypersched-UID``. Both
are on this machine, as its devices are. The kernel frees a lock when its process ends, whatever ends it (see
``_file_lock.py``). Experiments of other users, in other containers and on other machines are not seen.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from syne_hypersched._file_lock import FileLock

logger = logging.getLogger(__name__)

#: Seconds for which a lock may still be held by what a tuner that has just died was forking.
_PATIENCE_S = 0.2
_PAUSE_S = 0.02


@dataclass(frozen=True)
class Holder:
    """Another process that holds devices."""

    name: str
    """Experiment and process."""

    devices: tuple[str, ...]
    """The devices, as they are called here."""


class DeviceLocks:
    """The locks that one backend holds. A copy in another process, forked or unpickled, holds none.

    Parameters
    ----------
    folder
        Where the locks are; by default :func:`default_folder`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._held: dict[str, FileLock] = {}
        #: Whether a backend uses its devices although others hold all of them.
        self.are_missing = False

    @property
    def holds_any(self) -> bool:
        """Whether any lock is held."""
        return any(lock.is_open for lock in self._held.values())

    def acquire(
        self,
        keys_of: Mapping[str, Sequence[str]],
        owner: str,
        shared: bool = False,
        patience_s: float = _PATIENCE_S,
    ) -> tuple[Holder, ...]:
        """Locks the devices that no other process holds.

        Parameters
        ----------
        keys_of
            By the name of each device, what it consists of. Devices of one backend may have something in common.
        owner
            What others are told.
        shared
            Whether others that say the same may hold them, too.
        patience_s
            Seconds to wait for devices that another process holds.

        Returns
        -------
        tuple of Holder
            Who holds what could not be locked.
        """
        try:
            folder = _open_folder(self._folder or default_folder())
        except OSError as error:
            logger.debug("Devices are not locked, since there is no folder for the locks: %s", error)
            return ()
        try:
            give_up_at = time.monotonic() + patience_s
            keys = dict.fromkeys(key for keys in keys_of.values() for key in keys)
            holders = self._try(folder, keys, owner, shared)
            while holders and time.monotonic() < give_up_at:
                time.sleep(_PAUSE_S)
                holders = self._try(folder, holders, owner, shared)
        finally:
            os.close(folder)
        return tuple(
            Holder(holder, tuple(name for name, keys in keys_of.items() if any(holders.get(k) == holder for k in keys)))
            for holder in dict.fromkeys(holders.values())
        )

    def release(self, keys: Iterable[str] | None = None) -> None:
        """Lets others have the devices: all, or those with these keys."""
        self.are_missing = self.are_missing and keys is not None
        for key in list(self._held) if keys is None else keys:
            lock = self._held.pop(key, None)
            if lock is not None:
                lock.close()

    def _try(self, folder: int, keys: Iterable[str], owner: str, shared: bool) -> dict[str, str]:
        """Locks what is free; the holder of each key that is not."""
        holders: dict[str, str] = {}
        for key in keys:
            if key in self._held and self._held[key].is_open:
                continue
            try:
                lock = FileLock(f"{key}.lock", folder)
                if not lock.acquire(shared):
                    holders[key] = lock.read().strip() or "another process"
                    lock.close()
                    continue
            except OSError as error:  # also a file system without locks
                logger.debug("%s is not locked: %s", key, error)
                continue
            self._held[key] = lock
            lock.write(owner)
        return holders

    def __getstate__(self) -> dict[str, object]:
        return {"_folder": self._folder, "_held": {}, "are_missing": False}

    def __setstate__(self, state: dict[str, object]) -> None:
        DeviceLocks.__init__(self)  # also for one that an earlier version has stored
        self.__dict__.update(state)


def free_keys(keys: Iterable[str], folder: Path | None = None) -> list[str]:
    """The keys that no process holds now."""
    free = []
    locks = DeviceLocks(folder)
    for key in keys:
        if not locks.acquire({key: (key,)}, "", patience_s=0.0):
            free.append(key)
        locks.release()
    return free


def default_folder() -> Path:
    """Where the locks of this user are."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime) and os.access(runtime, os.W_OK):
        return Path(runtime) / "syne-hypersched"
    # Not the folder for temporary files: two shells, or two jobs of a cluster, may have different ones.
    return Path(f"/tmp/syne-hypersched-{os.getuid()}")


def _open_folder(path: Path) -> int:
    """A file descriptor of the folder, which is made if need be.

    Raises
    ------
    OSError
        There can be no such folder, or it is not for this user alone: others could have put links into it.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    status = os.fstat(fd)
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
        os.close(fd)
        raise PermissionError(f"{path} must belong to you, and be closed to other users (mode 0700)")
    return fd
