"""Values: states of a checkpoint folder, and reports of its trial."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Any

#: A save shortly before a report belongs to it if it came so many times later after the report before.
_CLEAR_FACTOR = 5.0
#: So it does if the time from the report until the next save is so many times longer than that from the save before.
_LONG_FACTOR = 3.0
#: The same for the first save of a launch, which cannot be compared with a report before: so many times longer, or so
#: many seconds more. A busy machine may let a script wait between its report and its save.
_FIRST_FACTOR, _FIRST_S = 10.0, 0.1
#: A script that saves before its report may add to that save within so many seconds after the report, as when it copies
#: its best model.
ADDITION_S = 0.05
#: A level below all others, which stands for none; JSON has no infinity.
NO_LEVEL = -1e308


class Order(str, Enum):
    """In which order a script saves and reports."""

    UNKNOWN = "unknown"
    EARLY = "early"
    LATE = "late"
    MIXED = "mixed"
    """The evidence contradicts itself; nothing is inferred from the order."""

    def and_(self, other: Order) -> Order:
        """Combines two pieces of evidence."""
        if other is Order.UNKNOWN or other is self:
            return self
        return other if self is Order.UNKNOWN else Order.MIXED


@dataclass
class State:
    """A state of the checkpoint folder, from its first change to the next change after a report."""

    after: int
    """At least so many reports had been printed when its first change was made."""

    before: int
    """At most so many had been printed when its last change was made."""

    ended_s: float
    """When it was last changed (monotonic seconds)."""

    gap_s: float | None = None
    """It was begun at least so many seconds after the report before it; None: it is the first of its launch."""

    drained: bool = False
    """Whether the script had been asked to exit."""

    generation: int | None = None
    """The generation that was taken of it."""

    soonest_s: float = 0.0
    """It was begun at least so many seconds after the report before it, also if that was noticed late."""

    latest_s: float = math.inf
    """It was begun at most so many seconds after the report before it."""

    epoch_s: float = 0.0
    """At least so many seconds lie between that report and the one before."""

    rest_s: float = 0.0
    """For at least so many seconds after it there was no report."""

    is_early: bool = False
    """Whether it may be that of the next report, as far as its launch tells."""

    is_near: bool = True
    """Whether the time to the next report is as short as that between a save and a report of one epoch."""

    settled: bool = False
    """Whether the state is complete: a report or a pause came since, or the script has ended."""

    def is_clear(self, after_s: float) -> bool:
        """Whether it was begun much later after the report before it than it was finished before the next one.

        Parameters
        ----------
        after_s
            Seconds from its end to the next report.
        """
        return self.gap_s is None or _CLEAR_FACTOR * after_s <= self.gap_s

    def long_s(self, after_s: float) -> float:
        """After so many seconds without a save after the next report, the script seems to save before its reports.

        Parameters
        ----------
        after_s
            Seconds from the end of this state to the next report.
        """
        long_s = _LONG_FACTOR * after_s
        return long_s if self.gap_s is not None else min(_FIRST_FACTOR * after_s, long_s + _FIRST_S)


@dataclass(frozen=True)
class Best:
    """The best report so far."""

    report: int
    end: int
    values: Mapping[str, Any]
    value: float
    launch: int

    def level(self, time_attr: str | None) -> float | None:
        """Its resource level, given the name of that; None if it has none."""
        return None if time_attr is None else number_of(self.values.get(time_attr))


def number_of(value: object) -> float | None:
    """An entry of a report as a finite number; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def step_of(levels: Mapping[int, float]) -> float | None:
    """The last difference between the resource levels of two reports in a row, of those where the level rose."""
    ordered = [levels[number] for number in sorted(levels)]
    steps = [later - earlier for earlier, later in pairwise(ordered) if later > earlier]
    return steps[-1] if steps else None


@dataclass(frozen=True)
class Move:
    """A file or folder that is moved to another place."""

    after: int
    """Number of reports when its files were begun, at least."""
    was_part: bool = False
    """Whether it was counted as a part of the present checkpoint."""
    is_old: bool = False
    """Whether it is an earlier checkpoint, moved aside."""
    open: frozenset[str] = frozenset()
    """Its files that are not closed yet, by their places below it; an empty name is the file itself."""
