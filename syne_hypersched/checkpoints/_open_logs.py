"""Tells logs from the files of a checkpoint. A script keeps a log open and writes to it now and then."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

#: A file is a log, and no checkpoint, if it is open for writing at so many reports and idle for so many seconds.
_LOG_REPORTS = 3
_LOG_IDLE_S = 0.25
#: A file with such a name is also a log. The names include lock files of processes.
_LOG_NAME = re.compile(r"tfevents|\.(log|wandb|lock|pid)$|^lock$", re.IGNORECASE)
#: If an open file has not changed for so many seconds, it is not being written.
_QUIET_S = 0.05


class OpenLogs:
    """Keeps what is known about open files. Paths are absolute; any thread may ask."""

    def __init__(self) -> None:
        #: Of files that are open: at how many reports each was, and when it was last written to (monotonic seconds).
        self._num_reports: dict[str, int] = {}
        self._written_s: dict[str, float] = {}
        self._sizes: dict[str, int] = {}
        self._logs: set[str] = set()
        self._seen_sizes: dict[str, int] = {}
        #: Files that were open at so many reports, without being idle in between.
        self.kept_open: set[str] = set()

    def __contains__(self, path: str) -> bool:
        return path in self._logs or _LOG_NAME.search(os.path.basename(path)) is not None

    def hear(self, kind: str, path: str, now_s: float) -> None:
        """Notes a change of a file; see :class:`~syne_hypersched.checkpoints.Change`."""
        if kind in ("created", "written"):
            self.write(path, now_s)
        if kind in ("closed", "removed", "moved away"):
            self.close(path)

    def write(self, path: str, now_s: float) -> None:
        """Notes that a file was written to."""
        self._written_s[path] = now_s

    def report(self, open_paths: Iterable[str]) -> None:
        """Notes a report while these files are open for writing."""
        for path in open_paths:
            self._num_reports[path] = self._num_reports.get(path, 0) + 1
            if self._num_reports[path] >= _LOG_REPORTS:
                self.kept_open.add(path)

    def awaited(self, paths: Iterable[str], now_s: float) -> frozenset[str]:
        """Open files that will be closed, or that are changing at present. Call it repeatedly."""
        sizes = {path: _size_of(path) for path in paths}
        before, self._seen_sizes = self._seen_sizes, sizes
        return frozenset(
            path
            for path, size in sizes.items()
            if self._num_reports.get(path, 0) < _LOG_REPORTS
            or size != before.get(path)
            or now_s - self._written_s.get(path, 0.0) < _QUIET_S
        )

    def complaint(self, folder: str) -> str:
        """What is wrong with files that stay open, in words; empty if nothing is wrong."""
        kept = sorted(os.path.relpath(path, folder) for path in self.kept_open if path not in self)
        if not kept:
            return ""
        return (
            f"{', '.join(kept)} in the checkpoint folder stays open for writing over several reports, so it is never "
            "known to be whole: best/ may get no checkpoint, and a relaunched trial may start from the beginning. "
            "Close the file after each save, and write logs to another folder"
        )

    def others(self, paths: Iterable[str], looked_s: float) -> frozenset[str]:
        """Open files that are no logs; everything before ``looked_s`` is known."""
        # Later writes are not known. A file that is not known to be idle is not a log.
        self.look(looked_s)
        return frozenset(path for path in paths if path not in self)

    def look(self, now_s: float) -> None:
        """Finds out which files have become logs."""
        for path, num_reports in list(self._num_reports.items()):
            if num_reports < _LOG_REPORTS or path in self._logs:
                continue
            # A large write is seen as one change, at its end. Meanwhile the file grows.
            size = _size_of(path)
            if size != self._sizes.get(path):
                self._sizes[path], self._written_s[path] = size, now_s
            elif now_s - self._written_s.get(path, 0.0) >= _LOG_IDLE_S:
                self._logs.add(path)

    def close(self, path: str) -> None:
        """Notes that a file was closed or is gone. A log would be opened again."""
        self._logs.discard(path)
        self._num_reports.pop(path, None)
        self._sizes.pop(path, None)
        self._written_s.pop(path, None)


def _size_of(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1
