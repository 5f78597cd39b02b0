"""Which files are parts of a checkpoint, and which are of use only while it is written, such as a lock.

A part is there at a report, and is removed, if at all, before the next checkpoint is written. A file of brief use is
made and removed between two reports. A script that saves several times between two reports removes parts there, too:
then what was there at the last report, or during a pause between two saves, is a part. What was of brief use before is
a part from its second report on.

Before the first report and the first pause, nothing tells the two apart. So where files are removed, what a checkpoint
consists of is certain only if it had that at a report, or during a pause, or several times in a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from syne_hypersched.checkpoints._numbers import are_same, pattern_of, without

#: A file that was there at so many reports in a row, between saves, is a part, although it was once of brief use.
_THERE = 2
#: Where files are removed, as many checkpoints in a row with the same names show what a checkpoint consists of.
_SAME = 5


class Lifetimes:
    """See the module. Files are known by their names, without numbers.

    Parameters
    ----------
    names
        What a checkpoint consists of, if that is known.

    Attributes
    ----------
    passing
        Names of files of brief use.
    """

    def __init__(self, names: Counter[str] | None = None) -> None:
        #: How many files of each name were there at the last report, and at the last pause since then, except those of
        #: brief use.
        self._lasting: Counter[str] = Counter()
        self._at_rest: Counter[str] = Counter()
        self.passing: set[str] = set()
        #: At how many reports in a row, none of which came in the middle of a save, each name was there.
        self._num_there: Counter[str] = Counter()
        #: Names of the last checkpoint, how often in a row it had them, and those that are certain.
        self._names: Counter[str] | None = None
        self._num_same = 0
        self._certain = names
        self._has_removed = False

    def begin(self, names: Counter[str]) -> None:
        """Another checkpoint begins; the last one had these."""
        self._num_same = self._num_same + 1 if are_same(names, self._names) else 1
        self._names = names
        if self._num_same >= _SAME:
            self._certain = names

    def is_certain(self, names: Counter[str]) -> bool:
        """Whether a checkpoint is complete for certain if it has these names, as the one before."""
        return not self._has_removed or are_same(names, self._certain)

    def report(self, names: Counter[str], is_complete: bool) -> None:
        """The script has reported while these were there. ``is_complete``: as in the checkpoint before."""
        self._certain = Counter(names) if is_complete else self._certain
        self._num_there = Counter({name: self._num_there[name] + 1 for name in names})
        self.passing = {name for name in self.passing if self._num_there[name] < _THERE}
        self._lasting = without(names, self.passing.__contains__)
        self._at_rest.clear()

    def rest(self, names: Counter[str], is_complete: bool) -> None:
        """Nothing has happened for a while, while these were there. ``is_complete``: as in the checkpoint before."""
        self._certain = Counter(names) if is_complete else self._certain
        self._at_rest = without(names, self.passing.__contains__)

    def go_on(self, has_reported: bool) -> None:
        """The last pause, and the last report if it is that late, came in the middle of a save."""
        self._at_rest.clear()
        if has_reported:
            self._num_there.clear()

    @property
    def lasting(self) -> Counter[str]:
        """How many files of each name are parts."""
        return self._lasting | self._at_rest

    def lose(self, removed: Sequence[str], left: Mapping[str, int]) -> list[str]:
        """Paths are removed. Returns those that are parts, as there are fewer of their names left than there were."""
        self._has_removed |= bool(removed)
        names = map(pattern_of, removed)
        lasting = (max(self._lasting[name], self._at_rest[name]) - left.get(name, 0) for name in names)
        return [path for path, num_more in zip(removed, lasting, strict=True) if num_more > 0]

    @property
    def has_rested(self) -> bool:
        """Whether there was a pause since the last report and the last save."""
        return bool(self._at_rest)

    def brief(self, removed: Mapping[str, int], names: Mapping[str, int]) -> set[str]:
        """Which of the removed names, of all of which there are, may be of brief use, since no report came between."""
        brief = {name for name, number in removed.items() if number == names[name] and not self._was_there(name)}
        if brief:
            self._lasting = without(self._lasting, brief.__contains__)
        return brief

    def _was_there(self, name: str) -> bool:
        return name not in self.passing and (name in self._num_there or name in self._at_rest)

    def pass_by(self, names: Iterable[str]) -> None:
        """These were of brief use."""
        self.passing.update(names)
