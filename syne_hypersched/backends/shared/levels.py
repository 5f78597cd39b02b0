"""Which resource levels of a trial were reported, over all its launches, and where each launch went on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

_NOTHING = -float("inf")


@dataclass(frozen=True, slots=True)
class RelaunchStart:
    """The level at which a relaunch has begun, from its first report."""

    level: float
    """Resource level of the first report of the launch."""

    first: float
    """The very first level of the trial."""

    before: float
    """The highest level that the launches before it have reported."""

    @property
    def is_redone(self) -> bool:
        """Whether it repeats work, which is normal if the previous launch was ended after its last checkpoint."""
        return self.level <= self.before

    @property
    def is_anew(self) -> bool:
        """Whether the trial has begun as if there were no checkpoint, although it had trained more than one level.

        A level of 0 or below is that of a baseline, which a script may report in each launch.
        """
        return 0 < self.first < self.before and self.level <= self.first


class Levels:
    """The levels that were delivered, so that work that is done again is recognised.

    A level that an earlier launch has delivered is not delivered again. In one launch a script may report a level more
    than once, for example with its training loss and with its validation loss. A launch that ends between the two
    reports has delivered the first one only, which is why the reports of the highest level are counted, and told apart
    by the names of their entries.
    """

    def __init__(self) -> None:
        self.beginning: RelaunchStart | None = None
        self._first: float | None = None
        #: Highest level of the launches before this one, and until now, and how often reports with which names had it.
        self._before = self._top = _NOTHING
        self._at_before: Counter[frozenset[str]] = Counter()
        self._at_top: Counter[frozenset[str]] = Counter()
        #: Whether this launch has reported the highest level of the earlier launches.
        self._again: Counter[frozenset[str]] = Counter()
        self._has_begun = False

    def begin_launch(self) -> None:
        """A launch begins."""
        self._before, self._at_before, self._again = self._top, self._at_top.copy(), Counter()
        self._has_begun, self.beginning = False, None

    def accept(self, level: float, names: Collection[str]) -> bool:
        """Whether a report is new: no launch before this one has delivered it.

        Parameters
        ----------
        level
            Its resource level.
        names
            Names of its entries. A report of the same level repeats another one if it has all its names, or no others.
        """
        if self._first is None:
            self._first = level
        if not self._has_begun:
            self._has_begun = True
            if self._before > _NOTHING:
                self.beginning = RelaunchStart(level, self._first, self._before)
        if level < self._before:
            return False
        kind = frozenset(names)
        if level == self._before:
            self._again[kind] += 1
            if _number_like(kind, self._again) <= _number_like(kind, self._at_before):
                return False
        if level > self._top:
            self._top, self._at_top = level, Counter()
        if level == self._top:
            self._at_top[kind] += 1
        return True


def _number_like(kind: frozenset[str], kinds: Counter[frozenset[str]]) -> int:
    return sum(number for other, number in kinds.items() if kind <= other or other <= kind)


class Relaunches:
    """Detects a script that starts from the beginning at every relaunch.

    A script without a checkpoint starts there for a good reason, and a script that saves rarely may do so, too. So the
    warning comes only when at least :attr:`PATIENCE` relaunches, and more than half of them, have started from the
    beginning.
    """

    #: Number of relaunches that must have started from the beginning.
    PATIENCE = 2

    def __init__(self) -> None:
        self.num_seen = self.num_anew = 0
        self._has_spoken = False

    def add(self, beginning: RelaunchStart) -> bool:
        """Counts a relaunch; returns True once, when it is time to warn."""
        self.num_seen += 1
        self.num_anew += beginning.is_anew
        speaks = beginning.is_anew and self.num_anew >= self.PATIENCE and 2 * self.num_anew > self.num_seen
        speaks, self._has_spoken = speaks and not self._has_spoken, speaks or self._has_spoken
        return speaks
