"""The log of a launch, read as far as it had grown at a given time."""

from __future__ import annotations

import os
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

    def size(self) -> int:
        """Its present size (bytes), or that at the last look if it is gone."""
        try:
            return os.stat(self._path).st_size
        except OSError:
            return self.seen_size

    def new_reports(self, size: int, to_the_end: bool = False) -> list[RawReport]:
        """The reports since the last call, in a log of ``size`` bytes."""
        self.seen_size = size
        return self._tail.reports_up_to(size, to_the_end)
