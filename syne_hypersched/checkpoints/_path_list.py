"""Paths of files in the order in which they were finished. An index makes it fast for thousands of files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from syne_hypersched.checkpoints._files import is_in
from syne_hypersched.checkpoints._numbers import is_of_same_numbers, may_alternate, pattern_of, starts_again, whole_of


def folders_of(path: str) -> Iterator[str]:
    """All folders above a path, the innermost first."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


class PathList(list[str]):
    """A list that is changed only by :meth:`append`, :meth:`extend`, :meth:`discard` and :meth:`discard_in`.

    Attributes
    ----------
    names
        How often each name occurs; numbers are left out.
    old_names
        Names of paths in the list that existed at the last report; None: they must be found again.
    """

    def __init__(self, paths: Iterable[str] = ()) -> None:
        super().__init__()
        self.old_names: set[str] | None = None
        self._index()
        self.extend(paths)

    def _index(self) -> None:
        self.names: Counter[str] = Counter()
        self._times: dict[str, int] = {}
        #: The last path of a name.
        self._last: dict[str, str] = {}
        #: Number of different paths below each folder, and number of present parts of each whole.
        self._folders: Counter[str] = Counter()
        self._wholes: Counter[tuple[str, int]] = Counter()

    def append(self, path: str) -> None:
        """Adds a path at the end."""
        super().append(path)
        name = pattern_of(path)
        self.names[name] += 1
        self._last[name] = path
        self._times[path] = self._times.get(path, 0) + 1
        if self._times[path] == 1:
            self._count(path, 1)

    def extend(self, paths: Iterable[str]) -> None:
        """Adds paths at the end."""
        for path in paths:
            self.append(path)

    def _count(self, path: str, step: int) -> None:
        whole = whole_of(path)
        keys: list[tuple[Counter[Any], Any]] = [(self._folders, folder) for folder in folders_of(path)]
        keys += [] if whole is None else [(self._wholes, whole)]
        for counter, key in keys:
            counter[key] += step
            if not counter[key]:
                del counter[key]

    def __contains__(self, path: object) -> bool:
        return path in self._times

    def times(self, path: str) -> int:
        """Number of times that a path occurs."""
        return self._times.get(path, 0)

    def has_in(self, path: str) -> bool:
        """Whether a path, or any path below it, is in the list."""
        return path in self._times or path in self._folders

    def holder(self, path: str) -> str:
        """The folder in the list that was put in place as a whole and contains a path; otherwise the path itself."""
        return path if self.has_in(path) else next((folder for folder in folders_of(path) if folder in self), path)

    def within(self, path: str) -> list[str]:
        """A path and all paths below it, as often as they occur, in order."""
        if path in self._folders:
            return [other for other in self if is_in(other, path)]
        return [path] * self.times(path)

    @property
    def lacks_parts(self) -> bool:
        """Whether there are fewer parts than one of their names says (``model-1-of-3``)."""
        return any(num_parts < num for (_, num), num_parts in self._wholes.items())

    def outlasts(self, name: str) -> bool:
        """Whether other names follow a name."""
        names = list(map(pattern_of, self))
        return name in names[:-1] and names[-1] != name

    def has_old(self, path: str, fresh: Collection[str]) -> bool:
        """Whether the list has a file with the same name as a path, and this file existed at the last report.

        Parameters
        ----------
        path
            The path. If only its numbers equal those of the last file, it is a sibling of that file.
        fresh
            Files that were finished after the report.
        """
        if self.old_names is None:
            self.old_names = {pattern_of(other) for other in self if other not in fresh}
        is_beside = bool(self) and is_of_same_numbers(path, self[-1])
        return not is_beside and pattern_of(path) in self.old_names

    def starts_again(self, path: str) -> bool:
        """Whether a path is the first one, or has one number that restarts while another one has grown."""
        name, last = pattern_of(path), path
        if name in self.names:
            if name not in self._last:
                self._last[name] = next(other for other in reversed(self) if pattern_of(other) == name)
            last = self._last[name]
        return path == self[0] or starts_again(path, last)

    def are_followed_by(self, path: str, num_files: int, last: str) -> bool:
        """Whether a path completes a group of ``num_files`` if, and only if, its name is ``last``."""
        return (pattern_of(path) == last) == (len(self) % num_files == num_files - 1)

    def second_of_cycle(self, path: str) -> list[str]:
        """The second checkpoint, if a path ends it that also ended the first one, and no other path is in both."""
        if self.times(path) != 1:
            return []
        num = self.index(path) + 1
        first, second = self[:num], [*self[num:], path]
        return second if may_alternate(second, first) else []

    def is_tail_of(self, names: list[str]) -> bool:
        """Whether the list has exactly the last of these names, in the same order, and none of the other names.

        A script writes its settings at its start, and then the same files in the same order for each checkpoint. Parts
        with numbers may have another order, and so may files that are written while the script reports.
        """
        own, num = list(map(pattern_of, self)), len(names) - len(self)
        return num > 0 and bool(own) and names[num:] == own and not set(own) & set(names[:num])

    def discard(self, path: str) -> None:
        """Removes a path, however often it occurs."""
        name, times = pattern_of(path), self._times.pop(path, 0)
        for _ in range(times):
            self.remove(path)
        if times:
            if self.old_names is not None and name in self.old_names:
                self.old_names = None
            self._last.pop(name, None)
            self._count(path, -1)
            self.names[name] -= times
            if not self.names[name]:
                del self.names[name]

    def discard_named(self, names: set[str]) -> None:
        """Removes all paths with one of these names."""
        if not self.names.keys().isdisjoint(names):  # in the time of the shorter one
            for other in [other for other in self if pattern_of(other) in names]:
                self.discard(other)

    def put_back(self, path: str) -> None:
        """Removes what a file or folder replaces: a path of the same name, or all paths in a folder of that name."""
        name = pattern_of(path)
        found = [other for other in self if pattern_of(other) == name][:1]
        for other in found or [other for other in self if is_in(pattern_of(other), name)]:
            self.discard(other)

    def discard_in(self, path: str) -> None:
        """Removes a path and all paths below it."""
        if path not in self._folders:
            self.discard(path)
            return
        kept = [other for other in self if not is_in(other, path)]
        self.clear()
        self._index()
        self.old_names = None
        self.extend(kept)
