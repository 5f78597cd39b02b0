"""From what a script prints to the reports that the tuner gets: nothing twice, and counters that go on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from syne_tune.constants import ST_WORKER_ITER, ST_WORKER_TIME, ST_WORKER_TIMESTAMP

from syne_hypersched._log_tail import LogTail as LogTail
from syne_hypersched._report_lines import RawReport as RawReport
from syne_hypersched.contract import ST_LAUNCH, ST_NUM_DEVICES, ST_SIGNAL_TO_REPORT_S

#: Entries of a report that a stream writes anew.
_REWRITTEN = (ST_WORKER_TIME, ST_WORKER_ITER, ST_NUM_DEVICES, ST_LAUNCH, ST_SIGNAL_TO_REPORT_S)


@dataclass(frozen=True, slots=True)
class StreamedReport:
    """A report that was read from a log."""

    values: dict[str, Any]
    """The report as the tuner is to see it; as it was printed if it repeats a level that was delivered before."""

    end: int
    """Bytes of the log up to its end, see :attr:`RawReport.end`."""

    is_new: bool
    """Whether it is to be delivered."""


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
