"""The log of a launch, read up to the size that it had at a given time."""

from __future__ import annotations

import os
import time
from pathlib import Path

from syne_hypersched._log_tail import LogTail
from syne_hypersched._report_lines import RawReport


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
        return self._tail.reports_up_to(size, to_the_end)
