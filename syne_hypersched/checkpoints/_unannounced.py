"""Finds files that a process has begun to write to before the kernel has reported it.

The kernel reports a truncation, or a write, when it is over. On a busy machine, that may be long after its beginning.
A thread may also save while the script reports. The first event of a save may then come after the next report,
although the save began before it. The checkpoint does not belong to that report, but to the previous one.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable

from syne_hypersched.checkpoints._changes import Change
from syne_hypersched.checkpoints._files import FileState
from syne_hypersched.checkpoints._leases import being_written, is_being_written

#: Only so many files are examined: those that were closed last.
_MOST_FILES = 64


class Unannounced:
    """Keeps the files that were closed.

    Parameters
    ----------
    folder
        The checkpoint folder.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        #: Closed files, and when each had last been written to (seconds of the wall clock); None: a process was already
        #: writing to it again when its closing was noticed.
        self._closed: dict[str, float | None] = {}
        #: Files that were closed since the last call of :meth:`begun_again`.
        self._fresh: set[str] = set()
        #: Index of the last write to each file, of the changes seen last.
        self._last_writes: dict[str, int] = {}

    def close(self, path: str) -> None:
        """Notes that a file was closed."""
        self.forget(path)
        written_at = self._written_at(path)
        if written_at is None:
            return  # the file is gone
        self._closed[path] = None if is_being_written(self._place(path)) else written_at
        self._fresh.add(path)
        while len(self._closed) > _MOST_FILES:
            self.forget(next(iter(self._closed)))

    def see(self, changes: Iterable[Change | None]) -> None:
        """Notes changes that are known by now."""
        self._last_writes = {
            change.path: n for n, change in enumerate(changes) if change is not None and change.kind == "written"
        }

    def is_only_read(self, index: int, change: Change, known: FileState | None) -> bool:
        """Whether a file was opened for writing and closed, but not written to.

        HDF5 does this with each file that it is about to overwrite. A write through a memory map changes the time of
        the file.

        Parameters
        ----------
        index, change
            One of the changes seen last. Nothing was written to the file between its last closing and this change.
        known
            The file before the change, if it was there before the launch or is in a generation.
        """
        if change.kind != "closed" or (known is None and change.path not in self._closed):
            return False
        if self._last_writes.get(change.path, -1) > index:
            return True
        try:
            status = os.lstat(self._place(change.path))
        except OSError:
            return False
        state = FileState("file", status.st_ino, status.st_size, status.st_mtime_ns)
        is_as_it_was = state == known or self._closed.get(change.path) == status.st_mtime
        return is_as_it_was or is_being_written(self._place(change.path))

    def forget(self, path: str) -> None:
        """Notes that a file was moved away or removed."""
        self._closed.pop(path, None)
        self._fresh.discard(path)

    def begun_before(self, time_at: float | None, begun: Collection[str]) -> list[str]:
        """Files that a process began to write to before a given time, and still writes to.

        Parameters
        ----------
        time_at
            The time (seconds of the wall clock, as the times of files); None: not known, and no file is found.
        begun
            Files that are already known to be written to.
        """
        return [
            path
            for path, known_at in self._closed.items()
            if time_at is not None
            and path not in begun
            and (written_at := self._written_at(path)) not in (None, known_at)
            and (written_at or 0.0) < time_at
            and is_being_written(self._place(path))
        ]

    def begun_again(self, begun: Collection[str]) -> list[str]:
        """Files closed since the last call to which a process was already writing again when that was noticed.

        Parameters
        ----------
        begun
            Files that are already known to be written to.
        """
        fresh, self._fresh = self._fresh, set()
        return sorted(path for path in fresh if self._closed.get(path, 0.0) is None and path not in begun)

    def mapped(self, begun: Collection[str]) -> frozenset[str]:
        """Those of some files that a process still writes to; absolute paths.

        A file that is mapped into memory can be written to after it was closed. The kernel reports nothing until the
        mapping ends.
        """
        return frozenset(map(self._place, being_written(self._folder, begun)))

    def _place(self, path: str) -> str:
        return os.path.join(self._folder, path)

    def _written_at(self, path: str) -> float | None:
        try:
            return os.lstat(self._place(path)).st_mtime
        except OSError:
            return None
