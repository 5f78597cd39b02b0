"""What one launch of a script has done, as values: its reports, its changes of the checkpoint folder, and its end.

The kernel tells additions to the log and changes of the folder in one order. Several additions that are read at once
may hold the reports in more than one way: then an order is not known.
"""

from __future__ import annotations

import re
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
    """Where each report is among the changes: after at least and at most this many of them."""
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
    num_processes: int | None = None
    """Processes that it had; None: one for each device."""

    @property
    def num_ranks(self) -> int:
        """Processes that it had."""
        return self.num_devices if self.num_processes is None else self.num_processes

    def saved_before(self, index: int, num_together: int = 1) -> bool | None:
        """Whether it finished a file in the checkpoint folder before a report, or one of several, but after the last.

        Parameters
        ----------
        index
            The report, the last one of several that belong together.
        num_together
            Number of these.

        Returns
        -------
        bool or None
            None: it is not known.
        """
        previous = index - num_together
        before = self.places[previous] if previous >= 0 else (0, 0)
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


def written_by_all(alone: Sequence[Counter[str]], several: Sequence[Counter[str]], num_ranks: int) -> str:
    """A file that each of several ranks writes; empty if there is none.

    Parameters
    ----------
    alone, several
        How often each file was written between reports, by one rank and by several.
    num_ranks
        Number of ranks.
    """
    usual: dict[str, list[int]] = {}
    for written in alone:
        for kind, number in _of_kinds(written).items():
            usual.setdefault(kind, []).append(number)
    most = max((max(numbers) for numbers in usual.values()), default=1)
    often: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for written in several:
        for kind, number in _of_kinds(written).items():
            before = usual.get(kind, [most])
            if max(before) > 2 and min(before) < max(before):
                continue  # it is written by a timer, not for a report
            if number > 1 and number >= 0.75 * num_ranks * max(before):
                often[kind] += 1
                examples[kind] = max((path for path in written if _kind(path) == kind), key=lambda path: written[path])
    return next((examples[kind] for kind, number in often.most_common(1) if number > len(several) / 2), "")


def _kind(path: str) -> str:
    """A path without its numbers, which may be others in each save."""
    return re.sub(r"\d+", "#", path)


def _of_kinds(written: Mapping[str, int]) -> dict[str, int]:
    """How often the file of each kind was written that was written most often."""
    found: dict[str, int] = {}
    for path, number in written.items():
        found[_kind(path)] = max(number, found.get(_kind(path), 0))
    return found


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
