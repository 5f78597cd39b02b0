"""Finds folders that hold one checkpoint each, such as ``checkpoint-1`` and ``checkpoint-2``, from their names.

A file belongs to the same checkpoint as the other files in its folder, even if a report came in between, because a
thread may save. The first file of a new folder is the first file of a checkpoint.

Not every folder with a number is of this kind. Each rank may have its own folder (``rank-0``, ``rank-1``), to which the
script returns with each checkpoint. Or one folder may hold all checkpoints of a run (``version_0``), so that many
reports come between its files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from syne_hypersched.checkpoints._files import is_in
from syne_hypersched.checkpoints._numbers import pattern_of

#: A folder that receives files after so many reports holds several checkpoints, unless similar folders held one each.
_LASTING = 2


class NumberedFolders:
    """Collects files of numbered folders, as the docstring of the module explains."""

    def __init__(self) -> None:
        #: The folder of the last file, and all folders so far.
        self._folder: str | None = None
        self._seen: set[str] = set()
        #: Patterns of folders that do not hold exactly one checkpoint, and of folders that another one followed.
        self._others: set[str] = set()
        self._followed: set[str] = set()
        #: How often a report came before a file of the folder, and whether one came after the last file.
        self._num_reports = 0
        self._has_reported = False

    def begins(self, path: str, present: Collection[str]) -> bool | None:
        """Whether a file begins a checkpoint, judged by its folder; None: the folder does not tell.

        Parameters
        ----------
        path
            The file.
        present
            All files of the present checkpoint.
        """
        folder = self._folder_of(path)
        if folder is None or self._folder is None or path in present:
            return None
        if folder == self._folder:
            if self._gives_up(folder):
                return True
            return False if any(is_in(other, folder) for other in present) else None
        has_reported = self._num_reports > 0 or self._has_reported
        was_there = f"{self._folder}{path[len(folder) :]}" in present
        return True if was_there and has_reported and self._follows(folder) else None

    def add(self, path: str) -> None:
        """Adds a finished file."""
        folder = self._folder_of(path)
        if folder is None:
            return
        pattern = pattern_of(folder)
        if folder == self._folder:
            if self._gives_up(folder):
                self._others.add(pattern)
            self._num_reports += self._has_reported
        else:
            if folder in self._seen:
                self._others.add(pattern)
            elif self._follows(folder):
                self._followed.add(pattern)
            self._folder, self._num_reports = folder, 0
            self._seen.add(folder)
        self._has_reported = False

    def gives_up(self, path: str) -> bool:
        """Whether a file shows that its folder holds several checkpoints, although all was taken for one checkpoint."""
        folder = self._folder_of(path)
        return folder is not None and folder == self._folder and self._gives_up(folder)

    def report(self) -> None:
        """Notes a report of the script."""
        self._has_reported = True

    def _gives_up(self, folder: str) -> bool:
        return self._num_reports + self._has_reported >= _LASTING and pattern_of(folder) not in self._followed

    def _follows(self, folder: str) -> bool:
        """Whether a folder is new, and its name differs from the last one only in the number."""
        return folder not in self._seen and self._folder is not None and pattern_of(folder) == pattern_of(self._folder)

    def _folder_of(self, path: str) -> str | None:
        """The outermost folder with a number in its name that may hold one checkpoint."""
        return next((folder for folder in _numbered(path) if pattern_of(folder) not in self._others), None)


def _numbered(path: str) -> Iterator[str]:
    """All folders of a file that have a number in their names, the outermost first."""
    names = path.split("/")
    for depth in range(1, len(names)):
        if pattern_of(names[depth - 1]) != names[depth - 1]:
            yield "/".join(names[:depth])
