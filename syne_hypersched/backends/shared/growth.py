"""Tells when files grow, without looking at them: Linux's inotify."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_IN_MODIFY = 0x00000002
_IN_CREATE = 0x00000100
_IN_MOVED_TO = 0x00000080
#: Bytes of events that are read at a time. Their content is ignored.
_EVENTS_BYTES = 1 << 16


class GrowthWatch:
    """A file descriptor that becomes readable when one of the watched files is written to, or is created.

    Raises
    ------
    OSError
        The system has no inotify, or no further instance of it for this user.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(self._libc, "inotify_init1"):
            raise OSError("this system has no inotify")
        self._fd: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify cannot be used")
        self._watches: dict[Path, int] = {}
        #: Of the folders in which a file is expected.
        self._expected: dict[Path, int] = {}

    def fileno(self) -> int:
        """The file descriptor."""
        return self._fd

    def watch(self, path: Path) -> bool:
        """Watches a file, or its folder until it exists; whether the file is watched only from now on.

        Raises
        ------
        OSError
            The user may watch no more files.
        """
        if path in self._watches:
            return False
        watch = self._add(path, _IN_MODIFY)
        if watch is None and path not in self._expected:
            expected = self._add(path.parent, _IN_CREATE | _IN_MOVED_TO)
            if expected is not None:
                self._expected[path] = expected
                watch = self._add(path, _IN_MODIFY)  # it may have been created just before
        if watch is None:
            return False
        self._watches[path] = watch
        self._remove(self._expected.pop(path, None))
        return True

    def leave(self, path: Path) -> None:
        """Watches a file no longer."""
        self._remove(self._watches.pop(path, None))
        self._remove(self._expected.pop(path, None))

    def take(self) -> None:
        """Reads all events, so that the file descriptor is no longer readable."""
        try:
            while len(os.read(self._fd, _EVENTS_BYTES)) > _EVENTS_BYTES // 2:
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Closes the file descriptor."""
        os.close(self._fd)

    def _add(self, path: Path, mask: int) -> int | None:
        watch: int = self._libc.inotify_add_watch(self._fd, os.fsencode(path), mask)
        if watch >= 0:
            return watch
        error = ctypes.get_errno()
        try:
            raise OSError(error, os.strerror(error), str(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _remove(self, watch: int | None) -> None:
        if watch is not None:
            self._libc.inotify_rm_watch(self._fd, watch)
