"""A lock for each device, so that two experiments on one machine do not use the same one unknowingly.

Locks are files that a process has locked (``flock``) below a folder of the user's own: ``$XDG_RUNTIME_DIR``, or else
``/tmp/syne-hypersched-UID``. The system releases them when the process ends, whatever ends it. Experiments of other
users, in other containers and on other machines are not seen.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import stat
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

#: Seconds for which a lock may still be held by what a tuner that has just died was forking.
_PATIENCE_S = 0.2
_PAUSE_S = 0.02
_FILE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True)
class Holder:
    """Somebody else who holds devices."""

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
        self._held: list[int] = []
        _all.add(self)

    @property
    def holds_any(self) -> bool:
        """Whether any lock is held."""
        return bool(self._held)

    def acquire(
        self,
        keys_of: Mapping[str, Sequence[str]],
        owner: str,
        shared: bool = False,
        patience_s: float = _PATIENCE_S,
    ) -> tuple[Holder, ...]:
        """Locks devices as far as nobody else holds them.

        Parameters
        ----------
        keys_of
            By the name of each device, what it consists of. Devices of one backend may have something in common.
        owner
            What others are told.
        shared
            Whether others that say the same may hold them, too.
        patience_s
            Seconds to wait for what somebody else holds.

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

    def release(self) -> None:
        """Lets others have the devices."""
        while self._held:
            os.close(self._held.pop())

    def _try(self, folder: int, keys: Iterable[str], owner: str, shared: bool) -> dict[str, str]:
        """Locks what is free; the holder of each key that is not."""
        holders: dict[str, str] = {}
        for key in keys:
            try:
                fd = os.open(f"{key}.lock", _FILE_FLAGS, 0o600, dir_fd=folder)
            except OSError as error:
                logger.debug("%s is not locked: %s", key, error)
                continue
            try:
                fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                holders[key] = os.pread(fd, 1000, 0).decode(errors="replace").strip() or "another process"
                os.close(fd)
                continue
            except OSError:  # a file system without locks
                os.close(fd)
                continue
            self._held.append(fd)
            os.ftruncate(fd, 0)
            os.pwrite(fd, owner.encode(errors="replace"), 0)
        return holders

    def __getstate__(self) -> dict[str, object]:
        return {"_folder": self._folder, "_held": []}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        _all.add(self)

    def __del__(self) -> None:
        if hasattr(self, "_held"):
            self.release()


def free_keys(keys: Iterable[str], folder: Path | None = None) -> list[str]:
    """Those of some keys that nobody holds now."""
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
        raise PermissionError(f"{path} must belong to you, and be for nobody else (mode 0700)")
    return fd


#: All locks of this process. A forked child would keep them, and a tuner's children may outlive it.
_all: weakref.WeakSet[DeviceLocks] = weakref.WeakSet()


def _release_in_child() -> None:
    for locks in list(_all):
        locks.release()


os.register_at_fork(after_in_child=_release_in_child)
