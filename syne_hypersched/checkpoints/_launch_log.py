"""The log of a launch, read up to the size that it had at a given time."""

from __future__ import annotations

import os
import time
from pathlib import Path

from syne_hypersched._log_tail import LogTail
from syne_hypersched._report_lines import RawReport

#: A file that changed at most so many seconds after a report belongs to that report, whichever came first. The times
#: of files have a clock with ticks of some milliseconds.
_TOGETHER_S = 0.01


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
        self.seen_size = end
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
        self.seen_size = size
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
