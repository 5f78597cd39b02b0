"""Learns how a script writes the files of its checkpoints."""

from __future__ import annotations

from collections.abc import Collection

from syne_hypersched.checkpoints._files import Tree, is_in
from syne_hypersched.checkpoints._generation import Kept
from syne_hypersched.checkpoints._numbers import pattern_of
from syne_hypersched.checkpoints._path_list import folders_of

#: So many names of temporary files are remembered: those that were moved last. Some programs draw each at random.
_MOST_ASIDES = 4096


class Habits:
    """Predicts which files a script will not write to any more, so that a hard link can replace a copy.

    The prediction is certain for a file that was moved into place whole, if an earlier file of this name was replaced
    in the same way although it had a hard link. Some programs look at the number of links: ``zip`` replaces its archive
    by a new file, but writes in place if the archive has a second hard link. So the prediction is only likely for the
    first file of a name. It is also likely for a file with a number in its name, if an earlier file with another number
    was never written again. :meth:`written` returns whether a prediction was wrong.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}
        #: Files that were moved into place, and not written to there.
        self._moved: set[str] = set()
        #: Patterns of names (without numbers): of files that were rewritten in place; and of files in generations, with
        #: the first name of each.
        self._rewritten: set[str] = set()
        self._taken: dict[str, str] = {}
        #: Patterns of names of which a file had a hard link in a generation; and of which such a file was written to.
        self._linked: set[str] = set()
        self._unsafe: set[str] = set()
        #: Finished files; those finished since the last report; and earlier ones, as the first name of each pattern.
        self._finished, self._recent = set[str](), set[str]()
        self._earlier: dict[str, str] = {}
        #: Patterns of names that were moved away, the newest last, and whether they seem to be always moved away.
        self._asides: dict[str, bool] = {}
        #: A file that was moved away just after it was written, for the first time.
        self._doubtful = ""
        #: Places of entries that were written aside and moved there since the last report, by the pattern of their
        #: old names, as long as nothing of that pattern is written. And the pattern of the entry that is being moved.
        self._came: dict[str, set[str]] = {}
        self._leaving: str | None = None

    def know(self, kept: dict[str, Kept]) -> None:
        """Adds knowledge about files that already exist."""
        self._kept.update(kept)
        self._linked |= {pattern_of(path) for path, how in kept.items() if how == "moved"}

    def of(self, tree: Tree) -> dict[str, Kept]:
        """How each file of a tree was written."""
        return {path: self._kept.get(path, "written") for path, state in tree.items() if state.kind == "file"}

    def written(self, path: str, taken: Tree) -> bool:
        """Notes that a file is being written to.

        Parameters
        ----------
        path
            Its path.
        taken
            Content of the folder when the last generation was taken.

        Returns
        -------
        bool
            Whether the prediction was wrong: another hard link of the file shows the change.
        """
        pattern = pattern_of(path)
        if path == self._doubtful:  # the file was moved out of the way of this one
            self._doubtful = ""
            self._asides[pattern] = False
        for aside in self._came.keys() & {pattern, *folders_of(pattern)}:
            del self._came[aside]
        is_surprise = False
        if path in taken or path in self._finished:
            self._finished.discard(path)
            is_surprise = self._kept.get(path, "written") != "written"
            if is_surprise:
                self._unsafe.add(pattern)
            self._rewritten.add(pattern)
            self._kept[path] = "written"
        elif self._kept.get(path) != "new" or path in self._moved:
            other = self._taken.get(pattern) or self._earlier.get(pattern)
            is_new = pattern != path and other not in (None, path) and pattern not in self._rewritten
            self._kept[path] = "new" if is_new else "written"
            if is_new and other is not None and self._kept.get(other) == "written":
                self._kept[other] = "new"
        self._moved.discard(path)
        return is_surprise

    def finished(self, path: str) -> None:
        """Notes that a file is finished."""
        self._finished.add(path)
        self._recent.add(path)

    def report(self) -> None:
        """Notes a report of the script. Files whose numbers differ from earlier ones belong to another epoch."""
        self._came.clear()
        self._doubtful = ""
        for path in self._finished & self._recent:
            self._earlier.setdefault(pattern_of(path), path)
        self._recent.clear()

    def moved(self, path: str, tree: Tree, linked: Collection[str] = ()) -> None:
        """Notes that a path was moved into place; files in ``linked`` may be written to under another name."""
        if self._leaving is not None:
            self._came.setdefault(self._leaving, set()).add(path)
            self._leaving = None
        for below in {path, *tree}:
            if is_in(below, path):
                self._kept[below] = "written" if below in linked else self._of_moved(pattern_of(below))
                self._moved.add(below)

    def _of_moved(self, pattern: str) -> Kept:
        if pattern in self._unsafe:
            return "written"
        return "moved" if pattern in self._linked else "new"

    def moved_away(self, path: str, is_aside: bool = True) -> None:
        """Notes that a file or folder was moved to another place.

        Parameters
        ----------
        path
            Where it was.
        is_aside
            True: it was written aside, and moved to its final place when it was whole. False: it was in its final
            place, and was moved away before the next one is written.
        """
        self._kept.pop(path, None)
        self._leaving = pattern_of(path) if is_aside else None
        if is_aside:
            pattern = pattern_of(path)
            self._doubtful = "" if pattern in self._asides else path
            self._asides.pop(pattern, None)
            self._asides[pattern] = True
            if len(self._asides) > _MOST_ASIDES:
                del self._asides[next(iter(self._asides))]
            self._finished.discard(path)
            self._recent.discard(path)

    def removed(self, path: str) -> bool:
        """Notes a removal. Returns whether it shows that files of some name are not written aside.

        An entry was moved out of the way if it is removed before another one is written or reported.
        """
        places = {path, *folders_of(path)}
        aside = next((aside for aside, came in self._came.items() if not came.isdisjoint(places)), None)
        if aside is None:
            return False
        self._came[aside] -= places
        if aside in self._asides:
            self._asides[aside] = False
        return True

    def take(self, tree: Tree) -> None:
        """Notes that a generation was taken."""
        for path in tree:
            self._taken.setdefault(pattern_of(path), path)
            if self._kept.get(path, "written") != "written":
                self._linked.add(pattern_of(path))
        self._kept = {path: kept for path, kept in self._kept.items() if path in tree}
        self._moved &= self._kept.keys()

    def is_aside(self, path: str) -> bool:
        """Whether files of this name, or a folder that contains them, are written aside and then moved into place."""
        pattern = pattern_of(path)
        return any(self._asides.get(place) for place in (pattern, *folders_of(pattern)))

    def any_aside(self, paths: Collection[str]) -> bool:
        """Whether any of the paths is written aside and then moved into place."""
        return bool(self._asides) and any(map(self.is_aside, paths))

    def are_aside(self, tree: Tree) -> bool:
        """Whether a folder has files, and all of them will still be moved into place: it holds no checkpoint."""
        files = [path for path, state in tree.items() if state.kind != "folder"]
        return bool(files) and all(map(self.is_aside, files))
