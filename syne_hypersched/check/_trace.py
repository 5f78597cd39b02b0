"""What one launch of a script has done, as values: its reports, its changes of the checkpoint folder, and its end.

The kernel tells additions to the log and changes of the folder in one order. Several additions that are read at once
may hold the reports in more than one way: then an order is not known.
"""

from __future__ import annotations

import contextlib
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from syne_hypersched.checkpoint_folder import is_report_mark
from syne_hypersched.checkpoints import Change, pattern_of

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
    """The error in the log of the rank that failed first, in one line."""
    last_lines: tuple[str, ...] = ()
    """The last lines of that log, if the launch has ended with an error."""
    log: str = ""
    """File with the standard error of that rank."""
    leave_s: float | None = None
    """Seconds from SIGTERM to its end; None: it was sent no SIGTERM."""
    was_killed: bool = False
    """Whether it was still there when the grace period had ended."""
    num_before_signal: int | None = None
    """Reports before the signal that has ended it; None: no signal was sent."""
    num_changes_before_signal: int = 0
    """Changes before SIGTERM; 0: it was sent none."""
    is_silent: bool = False
    """Whether it was ended because it did not report for too long."""
    num_processes: int | None = None
    """Processes that it had; None: one for each device."""

    @property
    def has_failed(self) -> bool:
        """Whether it has ended with an error, or was silent for too long."""
        return self.exit_code not in (None, 0) or self.is_silent

    @property
    def end(self) -> str:
        """How it has ended, in words."""
        if self.is_silent:
            return "no report for too long"
        return f"exit code {code_text(self.exit_code)}{f': {self.last_words}' if self.last_words else ''}"

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
        """Whether SIGTERM may have come in a save or before the report of one: then that report may be missing."""
        begin = self.places[-1][0] if self.places else 0
        # A script that handles SIGTERM may save then.
        end = len(self.changes) if self.exit_code == -signal.SIGTERM else self.num_changes_before_signal
        return bool(num_saves(self.changes[:end], self.places, after=begin))

    def is_in_save(self, alone: LaunchTrace) -> bool:
        """Whether a kill has ended it in a save: after its beginning, and before all was there.

        Parameters
        ----------
        alone
            An undisturbed launch, which shows what is there after a save.
        """
        begin = self.places[-1][1] if self.places else 0
        changes = self.changes[begin:]
        if len(self.reports) != self.num_before_signal or not num_saves(self.changes, self.places, after=begin):
            return False
        first = _first_kinds(alone.changes, alone.places)
        usual = [{pattern_of(path) for path in written} for written in alone.written()[1:]]
        usual = [kinds & first if first else kinds for kinds in usual]
        done = {pattern_of(change.path) for change in changes if change.kind in FINISHES}
        return any(usual) and not any(kinds <= done for kinds in usual if kinds)

    def between(self, index: int) -> tuple[Change, ...]:
        """The changes between a report and the next one; -1: those before the first one."""
        begin = self.places[index][1] if index >= 0 else 0
        return self.changes[begin : self.places[index + 1][0]]

    def written(self) -> list[Counter[str]]:
        """How often each file was closed after writing, or moved to its place, before each report and after the last.

        What may have happened before or after is not counted.
        """
        return [
            Counter(change.path for change in self.between(index) if change.kind in ("closed", "moved"))
            for index in range(-1, len(self.reports) - 1)
        ]


def code_text(exit_code: int | None) -> str:
    """An exit code with the name of the signal, if it was one."""
    with contextlib.suppress(ValueError):
        if exit_code is not None and exit_code < 0:
            return f"{exit_code} ({signal.Signals(-exit_code).name})"
    return str(exit_code)


def num_saves(changes: Sequence[Change], places: Sequence[tuple[int, int]], after: int = 0) -> int:
    """How many changes belong to a save, as far as it can be known.

    What a script never writes before its first report, such as a note that a report was made, belongs to no save.

    Parameters
    ----------
    changes, places
        As in :class:`LaunchTrace`.
    after
        Number of changes that are not counted.
    """
    first = _first_kinds(changes, places)
    return sum(
        change.kind in SAVES and not is_report_mark(change.path) and (not first or pattern_of(change.path) in first)
        for change in changes[after:]
    )


def _first_kinds(changes: Sequence[Change], places: Sequence[tuple[int, int]]) -> set[str]:
    """Paths, without their numbers, that may have changed before the first report."""
    if not places:
        return set()
    return {pattern_of(change.path) for change in changes[: places[0][1]] if not is_report_mark(change.path)}


def written_by_all(alone: Sequence[Counter[str]], several: Sequence[Counter[str]], num_ranks: int) -> str:
    """A file that each of several ranks writes; empty if there is none.

    One rank reports, so what the others write for a report may come after it.

    Parameters
    ----------
    alone, several
        How often each file was written before each report, by one rank and by several.
    num_ranks
        Number of ranks.
    """
    usual: dict[str, list[int]] = {}
    for written in alone[1:]:
        for kind, number in _of_kinds(written).items():
            usual.setdefault(kind, []).append(number)
    most = max((max(numbers) for numbers in usual.values()), default=1)
    totals: Counter[str] = Counter()
    firsts = _of_kinds(several[0]) if several else {}
    examples: Counter[tuple[str, str]] = Counter()
    for written in several[1:]:
        totals.update(_of_kinds(written))
        for path, number in written.items():
            examples[pattern_of(path), path] = max(number, examples[pattern_of(path), path])
    for kind, total in totals.most_common():
        before = usual.get(kind, [most])
        if max(before) > 2 and min(before) < max(before):
            continue  # it is written by a timer, not for a report
        by_all = 0.75 * num_ranks * max(before)
        number = len(several) - 1
        if total > by_all * number or total + firsts.get(kind, 0) >= by_all * (number + 1):
            return max((path for other, path in examples if other == kind), key=lambda path: examples[kind, path])
    return ""


def _of_kinds(written: Mapping[str, int]) -> dict[str, int]:
    """How often the file of each kind was written that was written most often."""
    found: dict[str, int] = {}
    for path, number in written.items():
        found[pattern_of(path)] = max(number, found.get(pattern_of(path), 0))
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
