"""Which files are parts of a checkpoint, and which are of use only while it is written, such as a lock.

A part is there at a report, and is removed, if at all, before the next checkpoint is written. A file of brief use is
made and removed between two reports. A script that saves several times between two reports removes parts there, too:
then what was there at the last report is a part. What was of brief use before is a part from its second report on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from syne_hypersched.checkpoints._numbers import without

#: A file that was there at so many reports in a row, between saves, is a part, although it was once of brief use.
_THERE = 2


class Lifetimes:
    """See the module. Files are known by their names, without numbers.

    Attributes
    ----------
    lasting
        How many files of each name were there at the last report, except those of brief use.
    """

    def __init__(self) -> None:
        self.lasting: Counter[str] = Counter()
        self._passing: set[str] = set()
        #: At how many reports in a row, none of which came in the middle of a save, each name was there.
        self._num_there: Counter[str] = Counter()

    def report(self, names: Counter[str]) -> None:
        """The script has reported while these were there."""
        self._num_there = Counter({name: self._num_there[name] + 1 for name in names})
        self._passing = {name for name in self._passing if self._num_there[name] < _THERE}
        self.lasting = without(names, self._passing.__contains__)

    def cut(self) -> None:
        """The last report came in the middle of a save."""
        self._num_there.clear()

    def brief(self, removed: Mapping[str, int], names: Mapping[str, int]) -> set[str]:
        """Which of the removed names, of all of which there are, may be of brief use, since no report came between."""
        brief = {name for name, number in removed.items() if number == names[name]}
        brief -= {name for name in self._num_there if name not in self._passing}
        if brief:
            self.lasting = without(self.lasting, brief.__contains__)
        return brief

    def pass_by(self, names: Iterable[str]) -> None:
        """These were of brief use."""
        self._passing.update(names)

    def is_passing(self, name: str) -> bool:
        """Whether it was of brief use."""
        return name in self._passing
