"""Tells the parts of a checkpoint from temporary files, which exist only while it is written, such as a lock.

A part exists at a report. If it is removed at all, that happens before the next checkpoint is written. A temporary file
is made and removed between two reports. A script that saves several times between two reports also removes parts
there: then a file that existed at the last report, or during a pause between two saves, is a part. A file that was
temporary before is a part from its second report on.
Before the first report and the first pause, the two kinds cannot be told apart. So if files are removed, the content of
a checkpoint is certain only if the same files existed at a report, during a pause, or several times in a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from syne_hypersched.checkpoints._numbers import are_same, pattern_of, without

#: A file that existed at so many reports in a row, between saves, is a part, even if it was once temporary.
_THERE = 2
#: If files are removed, so many checkpoints in a row with the same names show the content of a checkpoint.
_SAME = 5


class Lifetimes:
    """Collects the lifetimes of files. Files are known by their names without numbers.

    Parameters
    ----------
    names
        Names of the files of a checkpoint, if they are known.

    Attributes
    ----------
    passing
        Names of temporary files.
    """

    def __init__(self, names: Counter[str] | None = None) -> None:
        #: How many files of each name existed at the last report, and at the last pause after it. Temporary files are
        #: not counted.
        self._lasting: Counter[str] = Counter()
        self._at_rest: Counter[str] = Counter()
        self.passing: set[str] = set()
        #: At how many reports in a row each name existed. Reports in the middle of a save are not counted.
        self._num_there: Counter[str] = Counter()
        #: Names of the last checkpoint; how often in a row it had them; and the names that are certain.
        self._names: Counter[str] | None = None
        self._num_same = 0
        self._certain = names
        self._has_removed = False

    def begin(self, names: Counter[str]) -> None:
        """Notes that another checkpoint begins; the last one had these names."""
        self._num_same = self._num_same + 1 if are_same(names, self._names) else 1
        self._names = names
        if self._num_same >= _SAME:
            self._certain = names

    def is_certain(self, names: Counter[str]) -> bool:
        """Whether a checkpoint with these names, the same as in the previous one, is certainly complete."""
        return not self._has_removed or are_same(names, self._certain)

    def report(self, names: Counter[str], is_complete: bool) -> None:
        """Notes a report while these names existed. ``is_complete``: as in the previous checkpoint."""
        self._certain = Counter(names) if is_complete else self._certain
        self._num_there = Counter({name: self._num_there[name] + 1 for name in names})
        self.passing = {name for name in self.passing if self._num_there[name] < _THERE}
        self._lasting = without(names, self.passing.__contains__)
        self._at_rest.clear()

    def rest(self, names: Counter[str], is_complete: bool) -> None:
        """Notes a pause while these names existed. ``is_complete``: as in the previous checkpoint."""
        self._certain = Counter(names) if is_complete else self._certain
        self._at_rest = without(names, self.passing.__contains__)

    def go_on(self, has_reported: bool) -> None:
        """Notes that the last pause came in the middle of a save, and so did the last report if it came as late."""
        self._at_rest.clear()
        if has_reported:
            self._num_there.clear()

    @property
    def lasting(self) -> Counter[str]:
        """How many files of each name are parts."""
        return self._lasting | self._at_rest

    def lose(self, removed: Sequence[str], left: Mapping[str, int]) -> list[str]:
        """Notes that paths are removed. Returns the parts: paths whose name has fewer files left than it had before."""
        self._has_removed |= bool(removed)
        names = map(pattern_of, removed)
        lasting = (max(self._lasting[name], self._at_rest[name]) - left.get(name, 0) for name in names)
        return [path for path, num_more in zip(removed, lasting, strict=True) if num_more > 0]

    @property
    def has_rested(self) -> bool:
        """Whether there was a pause since the last report and the last save."""
        return bool(self._at_rest)

    def brief(self, removed: Mapping[str, int], names: Mapping[str, int]) -> set[str]:
        """Removed names that may be temporary: all their files are gone, and no report came between."""
        brief = {name for name, number in removed.items() if number == names[name] and not self._was_there(name)}
        if brief:
            self._lasting = without(self._lasting, brief.__contains__)
        return brief

    def _was_there(self, name: str) -> bool:
        return name not in self.passing and (name in self._num_there or name in self._at_rest)

    def pass_by(self, names: Iterable[str]) -> None:
        """Marks names as temporary."""
        self.passing.update(names)
