"""The record of one launch of a script, as values: its reports, its changes of the checkpoint folder, and its end.

The kernel reports additions to the log and changes of the folder in one order. If several additions are read at once,
they may contain the reports in several ways. Then the order is not known.
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

#: Changes after which a file or folder is finished, and in its final place unless it is moved later.
FINISHES = ("closed", "moved", "lost")
#: Changes that a process causes during a save.
SAVES = ("made", "created", "written", *FINISHES)


@dataclass(frozen=True)
class LaunchTrace:
    """The record of one launch."""

    num_devices: int
    reports: tuple[Mapping[str, Any], ...] = ()
    """Reports of rank 0, in order, without the entries that Syne Tune's reporter adds."""
    places: tuple[tuple[int, int], ...] = ()
    """Position of each report among the changes: after at least and at most this many changes."""
    changes: tuple[Change, ...] = ()
    """Changes of the checkpoint folder, in order."""
    exit_code: int | None = None
    """Exit code as in :mod:`subprocess`; None: the check ended the launch, or it did not end."""
    last_words: str = ""
    """The error in the log of the rank that failed first, as one line."""
    last_lines: tuple[str, ...] = ()
    """The last lines of that log, if the launch ended with an error."""
    log: str = ""
    """File with the standard error of that rank."""
    leave_s: float | None = None
    """Seconds from SIGTERM to the end; None: no SIGTERM was sent."""
    was_killed: bool = False
    """Whether the launch was still running at the end of the grace period."""
    num_before_signal: int | None = None
    """Number of reports before the signal that ended the launch; None: no signal was sent."""
    num_changes_before_signal: int = 0
    """Number of changes before SIGTERM; 0: no SIGTERM was sent."""
    is_silent: bool = False
    """Whether the launch was ended because it did not report for too long."""
    num_processes: int | None = None
    """Number of processes of the launch; None: one for each device."""

    @property
    def has_failed(self) -> bool:
        """Whether the launch ended with an error, or was silent for too long."""
        return self.exit_code not in (None, 0) or self.is_silent

    @property
    def end(self) -> str:
        """How the launch ended, in words."""
        if self.is_silent:
            return "no report for too long"
        return f"exit code {code_text(self.exit_code)}{f': {self.last_words}' if self.last_words else ''}"

    @property
    def num_ranks(self) -> int:
        """Number of processes of the launch."""
        return self.num_devices if self.num_processes is None else self.num_processes

    def saved_before(self, index: int, num_together: int = 1) -> bool | None:
        """Whether a file in the checkpoint folder was finished after the previous report and before this one.

        Parameters
        ----------
        index
            The report; the last one if several reports belong together.
        num_together
            Number of reports that belong together.

        Returns
        -------
        bool or None
            None: unknown.
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
        """Whether SIGTERM may have come during a save or before its report: then that report may be missing."""
        begin = self.places[-1][0] if self.places else 0
        # A script that handles SIGTERM may save after it.
        end = len(self.changes) if self.exit_code == -signal.SIGTERM else self.num_changes_before_signal
        return bool(num_saves(self.changes[:end], self.places, after=begin))

    def is_in_save(self, alone: LaunchTrace) -> bool:
        """Whether a kill ended the launch during a save: after its beginning, and before all files were there.

        Parameters
        ----------
        alone
            An undisturbed launch, which shows the files after a save.
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
        """The changes between a report and the next one; -1: before the first report."""
        begin = self.places[index][1] if index >= 0 else 0
        return self.changes[begin : self.places[index + 1][0]]

    def written(self) -> list[Counter[str]]:
        """How often each file was closed after writing, or moved into place, before each report and after the last one.

        Changes that may have come before or after a report are not counted.
        """
        return [
            Counter(change.path for change in self.between(index) if change.kind in ("closed", "moved"))
            for index in range(-1, len(self.reports) - 1)
        ]


def code_text(exit_code: int | None) -> str:
    """An exit code, with the name of the signal if there is one."""
    with contextlib.suppress(ValueError):
        if exit_code is not None and exit_code < 0:
            return f"{exit_code} ({signal.Signals(-exit_code).name})"
    return str(exit_code)


def num_saves(changes: Sequence[Change], places: Sequence[tuple[int, int]], after: int = 0) -> int:
    """Number of changes that belong to a save, as far as this can be known.

    A file that a script never writes before its first report, such as a record of a report, belongs to no save.

    Parameters
    ----------
    changes, places
        As in :class:`LaunchTrace`.
    after
        Number of changes at the beginning that are not counted.
    """
    first = _first_kinds(changes, places)
    return sum(
        change.kind in SAVES and not is_report_mark(change.path) and (not first or pattern_of(change.path) in first)
        for change in changes[after:]
    )


def _first_kinds(changes: Sequence[Change], places: Sequence[tuple[int, int]]) -> set[str]:
    """Paths without their numbers that may have changed before the first report."""
    if not places:
        return set()
    return {pattern_of(change.path) for change in changes[: places[0][1]] if not is_report_mark(change.path)}


def written_by_all(alone: Sequence[Counter[str]], several: Sequence[Counter[str]], num_ranks: int) -> str:
    """A file that each of several ranks writes; empty if there is none.

    Only one rank reports, so the other ranks may write after the report.

    Parameters
    ----------
    alone, several
        How often each file was written before each report, by one rank and by several ranks.
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
            continue  # the file is written regularly by a timer, and not for a report
        by_all = 0.75 * num_ranks * max(before)
        number = len(several) - 1
        if total > by_all * number or total + firsts.get(kind, 0) >= by_all * (number + 1):
            return max((path for other, path in examples if other == kind), key=lambda path: examples[kind, path])
    return ""


def _of_kinds(written: Mapping[str, int]) -> dict[str, int]:
    """For each kind of file, how often the most frequently written file was written."""
    found: dict[str, int] = {}
    for path, number in written.items():
        found[pattern_of(path)] = max(number, found.get(pattern_of(path), 0))
    return found


def places_of(
    seen: Sequence[Change | None], num_reports: int, begin: int
) -> tuple[list[Change], list[tuple[int, int]]]:
    """Finds the positions of reports among changes that were read at once.

    Parameters
    ----------
    seen
        The changes, with ``None`` for each addition to the log.
    num_reports
        Number of new reports in the log.
    begin
        Number of earlier changes.

    Returns
    -------
    list of Change, list of (int, int)
        The changes without the additions; and for each report, after how many changes it is, at least and at most.
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
    if not additions:  # the events of the additions come later than the log was read
        return changes, [(begin, begin + len(changes))] * num_reports
    if len(additions) == num_reports:
        return changes, [(place, place) for place in additions]
    return changes, [(additions[0], additions[-1])] * num_reports
