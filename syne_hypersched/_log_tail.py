"""Reads the reports that were appended to a log since the last call, with bounded memory."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from syne_hypersched._report_lines import TAG, RawReport, reports_of

logger = logging.getLogger(__name__)

#: Number of bytes that are read at once. A longer report counts as torn.
CHUNK_BYTES = 2 << 20
#: Maximum number of bytes for one call of :meth:`LogTail.reports`; number of waiting reports at which reading stops.
_BYTES_AT_ONCE = CHUNK_BYTES
_MAX_WAITING = 10_000
#: Number of bytes that are searched at once: a log may have 100,000 reports, and the first may be the wanted one.
_PART_BYTES = 1 << 16


class LogTail:
    """Reads the reports that were appended to a log since the last call.

    A call reads only the new bytes, and does not split lines without a report. All methods are thread-safe. A pickled
    copy continues at the same position.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        #: Number of bytes of the log that need not be read again.
        self._offset = offset
        #: Size of the log when it was last read. The bytes after the offset may be the beginning of a report.
        self._size = -1
        self._found: list[RawReport] = []
        self._has_looked = self._is_behind = self._has_warned = self._is_cut = False
        self._fd: int | None = None
        self._lock = threading.Lock()

    @property
    def position(self) -> int:
        """Number of bytes of the log that need not be read again."""
        return self._offset

    @property
    def is_behind(self) -> bool:
        """Whether the last call left bytes unread that may contain reports."""
        return self._is_behind

    @property
    def is_idle(self) -> bool:
        """Whether :meth:`look` was just called and found nothing for :meth:`reports` to return."""
        return self._has_looked and not self._found and not self._is_behind

    def look(self, to_the_end: bool = False) -> None:
        """Reads the log for a later :meth:`reports`. It may take long: hold no lock during the call.

        Does nothing if the log was not opened before, unless it is read to the end.

        Parameters
        ----------
        to_the_end
            Whether the writer has ended, so that an unfinished report is torn.
        """
        with self._lock:
            if self._fd is not None or to_the_end:
                self._read(to_the_end, None)
                self._has_looked = not to_the_end

    def reports(self, to_the_end: bool = False, at_most: int = _BYTES_AT_ONCE) -> list[RawReport]:
        """The reports that were completed since the last call, in order.

        Reads nothing if :meth:`look` was just called. Otherwise reads a part, and the next call continues.

        Parameters
        ----------
        to_the_end
            Whether the writer has ended: then the whole log is read, and an unfinished report is torn.
        at_most
            Maximum number of bytes to read (default: two megabytes), unless the log is read to the end.
        """
        with self._lock:
            if to_the_end or not self._has_looked:
                self._read(to_the_end, None if to_the_end else at_most)
            self._has_looked = False
            found, self._found = self._found, []
            return found

    def reports_up_to(self, size: int, to_the_end: bool = False) -> list[RawReport]:
        """The same as :meth:`reports`, but reads up to this size of the log, or to its end."""
        found: list[RawReport] = []
        while True:
            position = self.position
            found += self.reports(to_the_end)
            if self.position >= size or self.position == position:
                return found

    def number_of(self, is_wanted: Callable[[dict[str, Any]], bool]) -> int | None:
        """Number of reports up to the first wanted one, in a log whose writer has ended; None if there is none.

        Reads from the end of the last call up to that report. Then the log is closed.

        Parameters
        ----------
        is_wanted
            Returns whether a report with these values is the wanted one.
        """
        number, is_last = 0, False
        try:
            while not is_last:
                position = self.position
                found = self.reports(at_most=_PART_BYTES)
                if is_last := self.position == position:  # the rest may be torn, or be one long report
                    found = self.reports(to_the_end=True)
                for report in found:
                    number += 1
                    if is_wanted(report.values):
                        return number
            return None
        finally:
            self.close()

    def close(self) -> None:
        """Closes the file. A later call opens it again."""
        with self._lock:
            self._close()

    def _read(self, to_the_end: bool, max_bytes: int | None) -> None:
        if self._fd is None:
            try:
                self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return
        # Bytes written meanwhile are left for the next call, since a writer may be as fast as this reader.
        size = os.fstat(self._fd).st_size
        if size < self._offset and not self._is_cut:
            self._is_cut = True
            logger.warning(
                "%s has become shorter: its reports may be missing from now on. A script must not empty its standard "
                'output, as open("/dev/stdout", "w") and "> /dev/stdout" do: let it print.', self.path,
            )  # fmt: skip
        if size == self._size and not to_the_end:
            return
        stop = size if max_bytes is None else min(size, self._offset + max_bytes)
        while self._offset < stop and (to_the_end or len(self._found) < _MAX_WAITING):
            chunk = os.pread(self._fd, min(CHUNK_BYTES, stop - self._offset), self._offset)
            is_last = not chunk or self._offset + len(chunk) >= stop
            self._offset += self._scan(chunk, ends=to_the_end and is_last, is_full=len(chunk) == CHUNK_BYTES)
            if is_last:
                self._size = stop
                break
        self._is_behind = self._size < size
        if to_the_end:
            self._close()

    def _scan(self, chunk: bytes, ends: bool, is_full: bool) -> int:
        """Finds the reports in a chunk. Returns how many of its bytes need not be read again."""
        position = 0
        while (tag := chunk.find(TAG, position)) >= 0:
            end = chunk.find(b"\n", tag)
            line = chunk[tag:] if end < 0 else chunk[tag:end]
            found = reports_of(line, self._offset + tag, is_whole=end >= 0 or ends)
            self._found += found.reports
            if found.torn is not None and not (ends and end < 0):  # a report cut off by the end is no fault
                self._warn(found.torn)
            position = tag + found.used
            if found.waits:
                if position > 0 or not is_full:
                    return position
                # The line is longer than a chunk. A log without newlines must not be kept in memory.
                self._warn(line[:200])
                position = len(TAG)
        if ends:
            return len(chunk)
        # The chunk may end with the beginning of a tag.
        return max(position, len(chunk) - len(TAG) + 1)

    def _warn(self, torn: bytes) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "Ignored an incomplete report in %s: %.200r. Let only one process and thread print at a time, "
                "let nothing wrap lines (as rich does), and print no report of more than %d bytes. Further ones in "
                "this log are ignored without a warning.",
                self.path, torn.decode(errors="replace"), CHUNK_BYTES,
            )  # fmt: skip

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            state = {name: value for name, value in self.__dict__.items() if name not in ("_fd", "_lock")}
            return state | {"_found": list(self._found)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({"_is_cut": False} | state)
        self._fd = None
        self._lock = threading.Lock()
