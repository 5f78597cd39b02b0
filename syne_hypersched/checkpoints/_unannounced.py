"""Finds files that a process has begun to write to before the kernel has reported it.

The kernel reports a truncation, or a write, when it is over. On a busy machine, that may be long after its beginning.
A thread may also save while the script reports. The first event of a save may then come after the next report,
although the save began before it. The checkpoint does not belong to that report, but to the previous one.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Collection

from syne_hypersched.checkpoints._change import Change
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
        #: Of the changes read last: number of writes to each file that are still to be told; and files that were closed
        #: without a write, as they were found after that. None: a process was writing to the file.
        self._ahead: Counter[str] = Counter()
        self._examined: dict[str, os.stat_result | None] = {}

    def close(self, path: str) -> None:
        """Notes that a file was closed."""
        self.forget(path)
        # As it was examined, since it may have been written to after that.
        found = self._examined.get(path)
        written_at = self._written_at(path) if found is None else found.st_mtime
        if written_at is None:
            return  # the file is gone
        self._closed[path] = None if is_being_written(self._place(path)) else written_at
        self._fresh.add(path)
        while len(self._closed) > _MOST_FILES:
            self.forget(next(iter(self._closed)))

    def examine(self, changes: list[Change | None]) -> list[Change | None]:
        """Examines files that were closed without a write; returns the changes.

        Call this before the next changes are read. A write to the file before the examination is then one of these.
        """
        written = set[str]()
        for path, kind in ((change.path, change.kind) for change in changes if change is not None):
            if kind == "written":
                written.add(path)
                self._ahead[path] += 1
                self._examined.pop(path, None)
            elif kind == "closed" and path not in written:
                with contextlib.suppress(OSError):  # the file is gone
                    found = os.lstat(self._place(path))
                    self._examined[path] = None if is_being_written(self._place(path)) else found
            else:
                written.discard(path)
        return changes

    def is_only_read(self, change: Change, known: FileState | None, written: Collection[str]) -> bool:
        """Whether a file was opened for writing and closed, but not written to. Call this for each change in its order.

        HDF5 does this with each file that it is about to overwrite. A write through a memory map changes the time of
        the file.

        Parameters
        ----------
        change
            The next one of the changes that were examined.
        known
            The file before the change, if it was there before the launch or is in a generation.
        written
            Files that were written to since they were last closed.
        """
        path = change.path
        if change.kind == "written":
            self._ahead[path] -= 1
        if change.kind != "closed" or path in written or (known is None and path not in self._closed):
            return False
        if self._ahead[path] > 0:
            return True
        if path not in self._examined:
            return False
        found = self._examined[path]
        if found is None or found.st_mtime == self._closed.get(path):
            return True
        return FileState("file", found.st_ino, found.st_size, found.st_mtime_ns) == known

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
        self._ahead.clear()
        self._examined.clear()
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
