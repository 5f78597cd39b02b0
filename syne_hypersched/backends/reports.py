"""From the lines of a log to the reports that the tuner gets: nothing twice, and counters that go on."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from syne_tune.constants import ST_METRIC_TAG, ST_WORKER_COST, ST_WORKER_ITER, ST_WORKER_TIME, ST_WORKER_TIMESTAMP

from syne_hypersched.contract import ST_LAUNCH, ST_NUM_DEVICES, ST_SIGNAL_TO_REPORT_S

logger = logging.getLogger(__name__)

_TAG = f"[{ST_METRIC_TAG}]: "
_MAX_LINE_BYTES = 1 << 20
#: What Syne Tune's reporter adds to a report. Other names with this prefix are for the tuner to give.
_RESERVED = "st_"
_OF_REPORTER = frozenset({ST_WORKER_COST, ST_WORKER_ITER, ST_WORKER_TIME, ST_WORKER_TIMESTAMP})
#: Entries of a report that a stream writes anew.
_REWRITTEN = (ST_WORKER_TIME, ST_WORKER_ITER, ST_NUM_DEVICES, ST_LAUNCH, ST_SIGNAL_TO_REPORT_S)


class LogTail:
    """Reads what was appended to a log since the last time; a poll costs the new bytes, not the whole log.

    Survives pickling: it goes on where it was.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._pending = b""
        self._fd: int | None = None

    def lines(self, to_the_end: bool = False) -> list[str]:
        """The lines that were completed since the last call, without line ends.

        Parameters
        ----------
        to_the_end
            The writer has ended: a last line without a line end counts as complete.
        """
        if self._fd is None:
            try:
                self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return []
        lines: list[bytes] = []
        while chunk := os.pread(self._fd, 1 << 20, self._offset):
            self._offset += len(chunk)
            *whole, self._pending = (self._pending + chunk).split(b"\n")
            lines += whole
            # Nobody reports in lines of a megabyte; a log without line ends must not be kept in memory.
            if len(self._pending) > _MAX_LINE_BYTES:
                lines.append(self._pending)
                self._pending = b""
        if to_the_end:
            self.close()
            if self._pending:
                lines.append(self._pending)
                self._pending = b""
        return [line.decode(errors="replace") for line in lines]

    def close(self) -> None:
        """Gives the file descriptor back; a later call opens the log again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_fd": None}


def parse_reports(lines: Iterable[str], log_path: Path) -> list[dict[str, Any]]:
    """The reports in lines of a log, in order.

    A report that is not whole is left out with a warning, and an entry of a report whose name is the tuner's to give
    (``st_tuner_time``...) silently. An integer too large for a float is infinite, and half a surrogate pair is a
    question mark, so that whoever calculates with a report or writes it down can.
    """
    reports = []
    for line in lines:
        if _TAG not in line:
            continue
        report = _parse(line)
        if report is not None:
            reports.append(report)
        else:
            logger.warning("Ignored a report that is not whole in %s: %.200r", log_path, line)
    return reports


def _parse(line: str) -> dict[str, Any] | None:
    # No regular expression: a line of a megabyte full of tags would take it hours.
    begin, end = line.find(_TAG + "{"), line.rfind("}")
    if begin < 0 or end < begin:
        return None
    text = line[begin + len(_TAG) : end + 1]
    try:
        report = _DECODER.decode(text)
        if "\\u" in text:
            report = _DECODER.decode(json.dumps(report, ensure_ascii=False).encode(errors="replace").decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(report, dict):
        return None
    # All reports share their names in memory: thousands of trials report the same ones.
    return {
        sys.intern(name): value
        for name, value in report.items()
        if not name.startswith(_RESERVED) or name in _OF_REPORTER
    }


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


#: Integers of so many digits are within the range of a float.
_MAX_DIGITS = 300
_DECODER = json.JSONDecoder(parse_int=_integer)


class ReportStream:
    """Turns the raw reports of a trial's launches into one stream, as if the trial had been launched once.

    ``st_worker_time`` and ``st_worker_iter`` go on from where the launch before left them, a report for a resource
    level that an earlier launch has delivered is dropped, and every report says on how many devices it was computed and
    in which launch.
    """

    def __init__(self) -> None:
        #: Worker time (s) at the end of the launches before this one, and now.
        self._time_before = self._time_now = 0.0
        #: Number of reports so far.
        self._iter_now = 0
        #: Highest resource level delivered by the launches before this one, and until now.
        self._level_before = self._level_now = -float("inf")
        self._first_of_launch = True
        self._launch = -1
        self._num_devices = 0
        self._signal_timestamp = 0.0

    @property
    def num_reports(self) -> int:
        """Number of reports so far, without those that were dropped."""
        return self._iter_now

    def begin_launch(self, launch: int, num_devices: int, signal_timestamp: float) -> None:
        """A launch begins; reports from here on are its own.

        Parameters
        ----------
        launch, num_devices
            Index of the launch and the devices that it holds.
        signal_timestamp
            When the drain signal or the order that led to the launch was given (seconds since the epoch).
        """
        self._launch, self._num_devices, self._signal_timestamp = launch, num_devices, signal_timestamp
        self._time_before = self._time_now
        self._level_before = self._level_now
        self._first_of_launch = True

    def count_from(self, timestamp: float) -> None:
        """Has the launch answer to a later moment (seconds since the epoch) than the signal that led to it."""
        self._signal_timestamp = timestamp

    def restore(self, raw: Sequence[dict[str, Any]], delivered: Sequence[dict[str, Any]], time_attr: str | None) -> int:
        """Goes on where another stream of the same log was when it had delivered some reports.

        Parameters
        ----------
        raw
            All reports in the log, in order.
        delivered
            What the other stream has made of some of them, in order.
        time_attr
            Entry with the resource level, if known.

        Returns
        -------
        int
            How many of ``raw`` come before what is new. Those after it are to be accepted.
        """
        position = 0
        for report in delivered:
            here = next((i for i in range(position, len(raw)) if _is_made_of(report, raw[i])), None)
            if here is not None:
                position = here + 1
        if delivered:
            last = delivered[-1]
            self._time_now = float(last.get(ST_WORKER_TIME, 0.0))
            before = raw[position - 1].get(ST_WORKER_TIME) if position else None
            self._time_before = self._time_now - before if _is_finite(before) else self._time_now
            self._iter_now = int(last[ST_WORKER_ITER]) + 1
            self._launch, self._num_devices = int(last[ST_LAUNCH]), int(last[ST_NUM_DEVICES])
            self._first_of_launch = False
            levels = [report[time_attr] for report in delivered if time_attr in report]
            self._level_now = max(filter(_is_finite, levels), default=-float("inf"))
            self._level_before = self._level_now
        return position

    def accept(self, raw: dict[str, Any], time_attr: str | None, now: float) -> dict[str, Any] | None:
        """The report as the tuner is to see it, or ``None`` if it repeats a level that was delivered before.

        Parameters
        ----------
        raw
            What the script printed.
        time_attr
            Entry with the resource level; ``None``: not known, nothing is recognised as repeated.
        now
            Seconds since the epoch, for a report without a time stamp, or with one that is no number.
        """
        level = raw.get(time_attr) if time_attr is not None else None
        if _is_finite(level):
            if level <= self._level_before:
                return None
            self._level_now = max(self._level_now, level)
        report = dict(raw)
        timestamp = report.get(ST_WORKER_TIMESTAMP)
        if not _is_finite(timestamp):
            timestamp = report[ST_WORKER_TIMESTAMP] = now
        if _is_finite(report.get(ST_WORKER_TIME)):
            self._time_now = max(self._time_now, self._time_before + report[ST_WORKER_TIME])
            report[ST_WORKER_TIME] = self._time_now
        else:
            report.pop(ST_WORKER_TIME, None)
        report[ST_WORKER_ITER] = self._iter_now
        self._iter_now += 1
        report[ST_NUM_DEVICES] = self._num_devices
        report[ST_LAUNCH] = self._launch
        if self._first_of_launch:
            self._first_of_launch = False
            report[ST_SIGNAL_TO_REPORT_S] = max(0.0, timestamp - self._signal_timestamp)
        return report


def _is_finite(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_made_of(report: dict[str, Any], raw: dict[str, Any]) -> bool:
    return all(
        name in report and (report[name] == value or (value != value and report[name] != report[name]))
        for name, value in raw.items()
        if name not in _REWRITTEN
    )
