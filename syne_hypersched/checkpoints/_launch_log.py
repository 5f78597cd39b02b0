"""The log of a launch, read up to the size that it had at a given time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from syne_hypersched._log_tail import LogTail
from syne_hypersched._report_lines import TAG, RawReport
from syne_hypersched.checkpoints._change import Change
from syne_hypersched.checkpoints._states import number_of

#: A file that changed at most so many seconds after a report belongs to that report, whichever came first. The times
#: of files have a clock with ticks of some milliseconds.
_TOGETHER_S = 0.01
#: At most so many bytes of the log are read a second time.
_MOST_BYTES = 1 << 16


class LaunchLog:
    """Reads the reports of one launch from its log.

    Parameters
    ----------
    path
        The log.
    end
        Size of the log at the beginning of the launch (bytes).

    Attributes
    ----------
    seen_size
        Number of bytes read so far.
    """

    def __init__(self, path: str, end: int) -> None:
        self._path = path
        self._tail = LogTail(Path(path), end)
        self.seen_size = self._size_before = end
        self._began_at = time.time()
        #: When the log was last written to (seconds of the wall clock), and its size at that time.
        self._written_at, self._size = 0.0, end
        #: When the only report of the last call of :meth:`new_reports` was printed; None: there were others.
        self._reported_at: float | None = None

    def size(self) -> int:
        """The present size of the log (bytes), or its last known size if the log is gone."""
        try:
            status = os.stat(self._path)
        except OSError:
            return self.seen_size
        self._written_at, self._size = status.st_mtime, status.st_size
        return status.st_size

    def printed_at(self, report: RawReport) -> float | None:
        """When a report was printed (wall clock, as the times of files); None if more was printed after it."""
        return None if self._size - report.end > 1 else self._written_at  # 1: the newline

    def printed_s(self, report: RawReport, looked_s: float) -> float:
        """The earliest time when a report was printed (monotonic seconds), if it was not yet there at ``looked_s``."""
        printed_at = self.printed_at(report)
        if printed_at is None:
            return looked_s
        return max(looked_s, time.monotonic() - max(0.0, time.time() - printed_at))

    def new_reports(self, size: int, to_the_end: bool = False) -> list[RawReport]:
        """The reports since the last call, in a log of ``size`` bytes."""
        self.seen_size, self._size_before = size, self.seen_size
        reports = self._tail.reports_up_to(size, to_the_end)
        self._reported_at = self.printed_at(reports[0]) if len(reports) == 1 else None
        return reports

    def is_by_report(self, time_at: float) -> bool:
        """Whether a time is before the only new report, or so soon after it that no epoch was trained in between.

        Parameters
        ----------
        time_at
            Wall clock, as the times of files; 0: not known.
        """
        return self._reported_at is not None and 0.0 < time_at <= self._reported_at + _TOGETHER_S

    def called_at(self, report: RawReport) -> float | None:
        """When the script called the function that prints a report, as Syne Tune's reporter notes it.

        None if there is no such note, or one that cannot be true (wall clock, as the times of files).
        """
        called_at = number_of(report.values.get("st_worker_timestamp"))
        return called_at if called_at is not None and self._began_at <= called_at <= time.time() else None

    def has_one_each(
        self,
        reports: Sequence[RawReport],
        parts: Sequence[Sequence[Change | None]],
        changed_at: Callable[[str], float],
    ) -> bool:
        """Whether there are several reports, and it is certain that one came between each two parts of the changes.

        On a busy machine, several epochs may be noticed at once. Their order is certain if nothing but reports was
        printed. With two reports, it is certain if the last change in between was made between them.

        Parameters
        ----------
        reports
            The reports of the last call of :meth:`new_reports`.
        parts
            The changes of the folder before, between and after the additions to the log.
        changed_at
            When an entry of the folder last changed (wall clock); 0 if it is gone.
        """
        if not 1 < len(reports) == len(parts) - 1:
            return False
        began_at, ended_at = (self.called_at(report) for report in reports[-2:])
        paths = [change.path for change in parts[-2] if change is not None]
        later = {change.path for change in parts[-1] if change is not None}
        time_at = changed_at(paths[-1]) if paths and paths[-1] not in later else 0.0
        if began_at is None or ended_at is None or not time_at:
            return self._are_alone(reports)
        if not began_at - _TOGETHER_S <= time_at <= ended_at + _TOGETHER_S:
            return False  # an addition was known before
        is_between = len(reports) == 2 and began_at <= time_at <= ended_at - _TOGETHER_S
        return is_between or self._are_alone(reports)

    def _are_alone(self, reports: Sequence[RawReport]) -> bool:
        """Whether only these reports were added to the log."""
        num_bytes = self.seen_size - self._size_before
        if num_bytes > _MOST_BYTES:
            return False
        try:
            with open(self._path, "rb") as file:
                file.seek(self._size_before)
                lines = [line for line in file.read(num_bytes).split(b"\n") if line]
        except OSError:
            return False
        return len(lines) == len(reports) and all(line.startswith(TAG) for line in lines)
