"""The log of a launch, read as far as it had grown at a given time."""

from __future__ import annotations

import os
import time
from pathlib import Path

from syne_hypersched._log_tail import LogTail
from syne_hypersched._report_lines import RawReport


class LaunchLog:
    """See the module.

    Parameters
    ----------
    path
        The log.
    end
        Its size at the beginning of the launch (bytes).

    Attributes
    ----------
    seen_size
        Bytes read so far.
    """

    def __init__(self, path: str, end: int) -> None:
        self._path = path
        self._tail = LogTail(Path(path), end)
        self.seen_size = end
        #: When it was last written to (seconds of the wall clock), and its size then.
        self._written_at, self._size = 0.0, end

    def size(self) -> int:
        """Its present size (bytes), or that at the last look if it is gone."""
        try:
            status = os.stat(self._path)
        except OSError:
            return self.seen_size
        self._written_at, self._size = status.st_mtime, status.st_size
        return status.st_size

    def printed_at(self, report: RawReport) -> float | None:
        """When a report was printed (seconds of the wall clock, as the times of files); None if more was since."""
        return None if self._size - report.end > 1 else self._written_at  # a line has an end

    def printed_s(self, report: RawReport, looked_s: float) -> float:
        """When a report was printed at the earliest (monotonic seconds), if nothing was at ``looked_s``."""
        printed_at = self.printed_at(report)
        if printed_at is None:
            return looked_s
        return max(looked_s, time.monotonic() - max(0.0, time.time() - printed_at))

    def new_reports(self, size: int, to_the_end: bool = False) -> list[RawReport]:
        """The reports since the last call, in a log of ``size`` bytes."""
        self.seen_size = size
        return self._tail.reports_up_to(size, to_the_end)
