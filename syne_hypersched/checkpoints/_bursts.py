"""Where one checkpoint ends and the next one begins, concluded from the names of the files in the order of writing.

A checkpoint of several files that are written one by one is whole when the last of them is. A script writes the same
files in the same order each time, so a name that comes again begins the next checkpoint, and the name before it was the
last one of the one before. Numbers in names are left out.
"""

from __future__ import annotations

import re

_DIGITS = re.compile(r"\d+")


def pattern_of(path: str) -> str:
    """A path without its numbers."""
    return _DIGITS.sub("#", path)


class Bursts:
    """See the module."""

    def __init__(self) -> None:
        #: Names of the present checkpoint, in the order in which they were begun, and those of them that are finished.
        self._names: list[str] = []
        self._finished: set[str] = set()
        #: The last name of the checkpoint before; None: there was none.
        self._last: str | None = None
        #: Whether what was written was moved to another place, where it is yet to come.
        self._is_moving = False

    @property
    def is_complete(self) -> bool:
        """Whether the present checkpoint ends as the one before did."""
        return bool(self._names) and self._names[-1] == self._last and self._finished.issuperset(self._names)

    def write(self, path: str) -> bool:
        """A file is being written to; returns whether it begins a checkpoint."""
        name = pattern_of(path)
        begins, self._is_moving = not self._names and not self._is_moving, False
        if name in self._finished:
            if self._names[-1] == name and self._last not in (None, name):
                self._finished.discard(name)  # a file may be written to in several goes
                return False
            self._last, self._names, self._finished, begins = self._names[-1], [], set(), True
        if name not in self._names:
            self._names.append(name)
        return begins

    def finish(self, path: str) -> None:
        """A file that was written to was closed."""
        name = pattern_of(path)
        if name in self._names:
            self._finished.add(name)

    def leave(self, path: str) -> None:
        """A file or folder was moved away, to its own place perhaps."""
        begin = f"{pattern_of(path)}/"
        gone = [name for name in self._names if f"{name}/".startswith(begin)]
        if gone:
            self._names = [name for name in self._names if name not in gone]
            self._finished.difference_update(gone)
            self._is_moving = True
