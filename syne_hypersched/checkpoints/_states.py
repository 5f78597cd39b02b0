"""States of a checkpoint folder, and reports of its trial, as values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Any

#: A save shortly before a report belongs to it if the delay after the previous report is so many times longer.
_CLEAR_FACTOR = 5.0
#: The same holds if the time from the report to the next save is so many times longer than from the save to the report.
_LONG_FACTOR = 3.0
#: Limits for the first save of a launch, which has no report before it: so many times longer, or so many seconds more.
#: On a busy machine, a script may have to wait between its report and its save.
_FIRST_FACTOR, _FIRST_S = 10.0, 0.1
#: A script that saves before its report may add to that save within so many seconds after the report, for example when
#: it copies its best model.
ADDITION_S = 0.05
#: A level below all others, used if there is none; JSON has no infinity.
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
    """A state of the checkpoint folder: from its first change to the first change after the next report."""

    after: int
    """At least this many reports had been printed when its first change was made."""

    before: int
    """At most this many reports had been printed when its last change was made."""

    ended_s: float
    """Time of its last change (monotonic seconds)."""

    gap_s: float | None = None
    """It was begun at least so many seconds after the previous report; None: it is the first of its launch."""

    drained: bool = False
    """Whether the script had been asked to exit."""

    generation: int | None = None
    """The generation of this state."""

    soonest_s: float = 0.0
    """It was begun at least so many seconds after the previous report, even if the report was noticed late."""

    latest_s: float = math.inf
    """It was begun at most so many seconds after the previous report."""

    epoch_s: float = 0.0
    """At least so many seconds passed between that report and the one before it."""

    rest_s: float = 0.0
    """No report came for at least so many seconds after it."""

    is_early: bool = False
    """Whether it may belong to the next report, as far as its launch shows."""

    is_near: bool = True
    """Whether the time to the next report is as short as that between a save and a report of one epoch."""

    settled: bool = False
    """Whether the state is complete: a report or a pause came after it, or the script has ended."""

    def is_clear(self, after_s: float) -> bool:
        """Whether it began much later after the previous report than it ended before the next report.

        Parameters
        ----------
        after_s
            Seconds from its end to the next report.
        """
        return self.gap_s is None or _CLEAR_FACTOR * after_s <= self.gap_s

    def is_last(self, after_s: float, began_s: float) -> bool:
        """Whether it belongs to the next report, if the script has ended by itself after that, without another save.

        Parameters
        ----------
        after_s
            Seconds from its end to the next report.
        began_s
            When the launch began (monotonic seconds). What is saved at the start does not belong to the first report.
        """
        return self.is_clear(after_s) and _FIRST_FACTOR * after_s <= self.ended_s - began_s

    def long_s(self, after_s: float) -> float:
        """If no save follows the next report within so many seconds, the script seems to save before its reports.

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
        """The resource level of the report, given the name of its entry; None if it has no level."""
        return None if time_attr is None else number_of(self.values.get(time_attr))


def number_of(value: object) -> float | None:
    """An entry of a report as a finite number; None if it is not a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def step_of(levels: Mapping[int, float]) -> float | None:
    """The last positive difference between the resource levels of two successive reports."""
    ordered = [levels[number] for number in sorted(levels)]
    steps = [later - earlier for earlier, later in pairwise(ordered) if later > earlier]
    return steps[-1] if steps else None


@dataclass(frozen=True)
class Move:
    """A file or folder that is moved to another place."""

    after: int
    """Smallest number of reports when its files were begun."""
    was_part: bool = False
    """Whether it counted as a part of the present checkpoint."""
    is_old: bool = False
    """Whether it is an earlier checkpoint that was moved aside."""
    open: frozenset[str] = frozenset()
    """Its files that are not closed yet, by their paths below it; an empty path is the file itself."""
