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
        #: Names of the present checkpoint, in the order in which they were finished.
        self._names: list[str] = []
        #: The last name of the checkpoint before; None: there was none.
        self._last: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the present checkpoint ends as the one before did."""
        return bool(self._names) and self._names[-1] == self._last

    @property
    def is_partial(self) -> bool:
        """Whether the present checkpoint does not end yet as the one before did."""
        return bool(self._names) and self._last is not None and self._names[-1] != self._last

    def add(self, path: str) -> bool:
        """A file or folder is finished, in its own place; returns whether it is the first of a checkpoint."""
        name = pattern_of(path)
        if name not in self._names:
            self._names.append(name)
            return len(self._names) == 1
        if self._names[-1] == name and self._last not in (None, name):
            return False  # a file may be written to in several goes
        self._last, self._names = self._names[-1], [name]
        return True
