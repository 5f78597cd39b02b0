"""Concludes where one checkpoint ends and the next one begins from the names of files in the order of writing.

A checkpoint of several files that are written one by one is whole when the last of them is. A script writes the same
files in the same order each time, so a name that comes again begins the next checkpoint, and the name before it was the
last one of the one before. Numbers in names are left out.

A name that comes again and again, with reports in between, is a checkpoint of its own, although others were longer: a
file that is written only once, with the first checkpoint, is no part of the next ones.
"""

from __future__ import annotations

import re

_DIGITS = re.compile(r"\d+")
#: A name that has come alone for so many reports is all that there is.
_ALONE = 2


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
        #: Whether there was a report since, and how often the last name has come again after one.
        self._has_reported = False
        self._num_alone = 0

    @property
    def is_complete(self) -> bool:
        """Whether the present checkpoint ends as the one before did."""
        return bool(self._names) and self._names[-1] == self._last

    @property
    def is_partial(self) -> bool:
        """Whether the present checkpoint does not end yet as the one before did."""
        return bool(self._names) and self._last is not None and self._names[-1] != self._last

    def add(self, path: str) -> bool:
        """A file or folder is finished, in its own place; returns whether it begins a checkpoint."""
        name, has_reported = pattern_of(path), self._has_reported
        self._has_reported = False
        if name not in self._names:
            self._names.append(name)
            self._num_alone = 0
            return len(self._names) == 1
        if self._names[-1] == name and self._last not in (None, name):
            self._num_alone += has_reported
            if self._num_alone < _ALONE:
                return False  # a file may be written to in several goes
        self._last, self._names, self._num_alone = self._names[-1], [name], 0
        return True

    def report(self) -> None:
        """The script has reported."""
        self._has_reported = True

    def begin(self) -> None:
        """Another checkpoint begins."""
        if self._names:
            self._last, self._names, self._num_alone = self._names[-1], [], 0

    def withdraw(self, path: str) -> bool:
        """Takes back a file or folder that was not in its place yet; returns whether it was the last one added."""
        prefix = f"{pattern_of(path)}/"
        is_last = f"{(self._names or [''])[-1]}/".startswith(prefix)
        self._names = [other for other in self._names if not f"{other}/".startswith(prefix)]
        if self._last is not None and f"{self._last}/".startswith(prefix):
            self._last = None
        return is_last
