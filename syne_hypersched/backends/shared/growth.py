"""Tells when files grow, without looking at them: Linux's inotify."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

_IN_MODIFY = 0x00000002
_IN_CREATE = 0x00000100
_IN_MOVED_TO = 0x00000080
#: More has happened than the system keeps events of.
_IN_Q_OVERFLOW = 0x00004000
#: Number of bytes read at a time, and the header of each event: watch, mask, cookie and the size of a name.
_EVENTS_BYTES = 1 << 16
_EVENT = struct.Struct("iIII")


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
        self._paths: dict[int, Path] = {}
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
        self._paths[watch] = path
        self._remove(self._expected.pop(path, None))
        return True

    def is_watched(self, path: Path) -> bool:
        """Whether a file is watched, which exists then."""
        return path in self._watches

    def leave(self, path: Path) -> None:
        """Watches a file no longer."""
        watch = self._watches.pop(path, None)
        if watch is not None and self._paths.get(watch) == path:
            del self._paths[watch]
        self._remove(watch)
        self._remove(self._expected.pop(path, None))

    def take(self) -> set[Path] | None:
        """Reads all events, so that the file descriptor is no longer readable.

        Returns
        -------
        set of Path or None
            Watched files that were written to; None: so much has happened that it may be any of them.
        """
        grown: set[Path] | None = set()
        try:
            while len(events := os.read(self._fd, _EVENTS_BYTES)) > 0:
                position = 0
                while position < len(events):
                    watch, what, _, size = _EVENT.unpack_from(events, position)
                    position += _EVENT.size + size
                    if what & _IN_Q_OVERFLOW:
                        grown = None
                    elif grown is not None and what & _IN_MODIFY and watch in self._paths:
                        grown.add(self._paths[watch])
                if len(events) <= _EVENTS_BYTES // 2:
                    break
        except BlockingIOError:
            pass
        return grown

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
