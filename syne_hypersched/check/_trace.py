"""What one launch of a script has done, as values: its reports, its changes of the checkpoint folder, and its end.

The kernel tells additions to the log and changes of the folder in one order. Several additions that are read at once
may hold the reports in more than one way: then an order is not known.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from syne_hypersched.checkpoints import Change

#: Changes after which a file or folder is finished, and in its place unless it is moved later.
FINISHES = ("closed", "moved", "lost")
#: Changes that a process makes while it saves.
SAVES = ("made", "created", "written", *FINISHES)


@dataclass(frozen=True)
class LaunchTrace:
    """What one launch has done."""

    num_devices: int
    reports: tuple[Mapping[str, Any], ...] = ()
    """Reports of rank 0, in order, without the entries of Syne Tune's reporter."""
    places: tuple[tuple[int, int], ...] = ()
    """Where each report is among the changes: after at least and at most so many of them."""
    changes: tuple[Change, ...] = ()
    """Changes of the checkpoint folder, in order."""
    exit_code: int | None = None
    """Exit code as in :mod:`subprocess`; None: it was ended by the check, or it did not end."""
    last_words: str = ""
    """The last line of the standard error of the rank that failed first."""
    log: str = ""
    """File with the standard error of that rank."""
    leave_s: float | None = None
    """Seconds from SIGTERM to its end; None: it was sent no SIGTERM."""
    was_killed: bool = False
    """Whether it was still there when the grace period had ended."""
    num_before_signal: int | None = None
    """Reports before the signal that has ended it; None: no signal was sent."""
    is_silent: bool = False
    """Whether it was ended because it did not report for too long."""

    def saved_before(self, index: int) -> bool | None:
        """Whether it finished a file in the checkpoint folder between a report and the one before; None: unknown."""
        before = self.places[index - 1] if index else (0, 0)
        here = self.places[index]
        if any(change.kind in FINISHES for change in self.changes[before[1] : here[0]]):
            return True
        if any(change.kind in FINISHES for change in self.changes[before[0] : here[1]]):
            return None
        return False

    @property
    def may_lack_a_report(self) -> bool:
        """Whether SIGTERM may have ended it in a save or before the report of one: then that report is missing."""
        begin = self.places[-1][0] if self.places else 0
        return self.exit_code == -signal.SIGTERM and any(change.kind in SAVES for change in self.changes[begin:])

    def between(self, index: int) -> tuple[Change, ...]:
        """The changes between a report and the next one."""
        return self.changes[self.places[index][1] : self.places[index + 1][0]]

    def written(self) -> list[Counter[str]]:
        """How often each file was closed after writing, or moved to its place, from each report to the next one.

        What may have happened before or after is not counted.
        """
        return [
            Counter(change.path for change in self.between(index) if change.kind in ("closed", "moved"))
            for index in range(len(self.reports) - 1)
        ]


def places_of(
    seen: Sequence[Change | None], num_reports: int, begin: int
) -> tuple[list[Change], list[tuple[int, int]]]:
    """Puts reports into their places among changes that were read at once.

    Parameters
    ----------
    seen
        The changes, with ``None`` for each addition to the log.
    num_reports
        Reports that the log has more than before.
    begin
        Number of changes before these.

    Returns
    -------
    list of Change, list of (int, int)
        The changes without the additions, and for each report after how many changes it is, at least and at most.
    """
    changes: list[Change] = []
    additions: list[int] = []
    for change in seen:
        if change is None:
            additions.append(begin + len(changes))
        else:
            changes.append(change)
    if not num_reports:
        return changes, []
    if not additions:  # told later than it was read
        return changes, [(begin, begin + len(changes))] * num_reports
    if len(additions) == num_reports:
        return changes, [(place, place) for place in additions]
    return changes, [(additions[0], additions[-1])] * num_reports
