"""A trial's reports on their way from its log to the tuner."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from syne_tune.constants import ST_WORKER_ITER

from syne_hypersched._json_files import plain_value
from syne_hypersched.backends.shared.reports import LogTail, ReportStream, StreamedReport
from syne_hypersched.contract import ST_SIGNAL_TO_REPORT_S

#: Number of delivered reports of a trial whose position in the log is kept.
_MAX_NUMBERS = 1_000


class ReportQueue:
    """Reads a trial's log and keeps its reports until the tuner has looked at them.

    Parameters
    ----------
    log
        Standard output of rank 0 of all launches.

    Attributes
    ----------
    tail
        The log as far as it was read.
    stream
        What makes the reports of all launches one stream.
    num_read
        Reports in the log so far, those that are not delivered among them.
    """

    def __init__(self, log: Path) -> None:
        self.tail = LogTail(log)
        self.stream = ReportStream()
        self.num_read = 0
        #: The numbers of the last reports by their iterations.
        self._numbers: dict[int, int] = {}
        #: The first and the last number that was forgotten, because it was delivered long ago.
        self._forgotten = (0, -1)
        #: Reports that the tuner has not seen, and those it was handed last.
        self._waiting: list[dict[str, Any]] = []
        self._delivered: list[dict[str, Any]] = []

    @property
    def waiting(self) -> Sequence[dict[str, Any]]:
        """Reports that the tuner has not seen."""
        return self._waiting

    @property
    def has_news(self) -> bool:
        """Whether there are reports that the tuner has not seen, or has seen just now."""
        return bool(self._waiting or self._delivered)

    def skip(self, num_reports: int, numbers: Mapping[int, int]) -> None:
        """Leaves out the first reports of the log, which another tuner has received with these numbers by iteration."""
        self.num_read = num_reports
        self._numbers.update(numbers)

    def accept(self, raw: dict[str, Any], time_attr: str | None, now: float) -> dict[str, Any] | None:
        """Takes one report of the log; returns it as it is delivered, or None if it is not.

        Parameters
        ----------
        raw, time_attr, now
            As in :meth:`ReportStream.accept <syne_hypersched.backends.shared.reports.ReportStream.accept>`.
        """
        self.num_read += 1
        report = self.stream.accept(raw, time_attr, now)
        if report is not None:
            self._waiting.append(report)
            self._numbers[report[ST_WORKER_ITER]] = self.num_read
        return report

    def read(
        self,
        time_attr: str | None,
        answers_to: float,
        to_the_end: bool = False,
        when_read: Callable[[], None] = lambda: None,
    ) -> list[StreamedReport]:
        """Takes new reports from the log and returns them, with those that are not to be delivered.

        Parameters
        ----------
        time_attr
            Entry of a report that is the resource level, if known.
        answers_to
            When the signal was given that the launch answers, on the monotonic clock (s).
        to_the_end
            Whether an unfinished last line is read as well.
        when_read
            Called when the log is read, before its reports are accepted.
        """
        read, now = [], time.time()
        found = self.tail.reports(to_the_end)
        when_read()
        for raw in found:
            known, report = self.stream.beginning, self.accept(raw.values, time_attr, now)
            beginning = self.stream.beginning if known is None else None
            values = raw.values if report is None else report
            read.append(StreamedReport(values, raw.end, report is not None, beginning))
            if report is not None and ST_SIGNAL_TO_REPORT_S in report:
                # Script and tuner have only the wall clock in common, which may have been set in between.
                most_s = max(0.0, time.monotonic() - answers_to)
                report[ST_SIGNAL_TO_REPORT_S] = min(report[ST_SIGNAL_TO_REPORT_S], most_s)
        return read

    def number_of(self, report: Mapping[str, Any]) -> int | None:
        """Which of all reports in the log a report is, counted from 1; None if it was handed out long ago."""
        return self._numbers.get(report.get(ST_WORKER_ITER, -1))

    def was_delivered(self, number: int) -> bool:
        """Whether the ``number``-th report of the log was handed out; False if another tuner has received it."""
        if self._forgotten[0] <= number <= self._forgotten[1]:
            return True
        waiting = {report[ST_WORKER_ITER] for report in self._waiting}
        return any(mine == number and iteration not in waiting for iteration, mine in self._numbers.items())

    def deliver(self) -> list[dict[str, Any]]:
        """The reports that the tuner has not seen."""
        self._delivered, self._waiting = self._waiting, []
        if len(self._numbers) > _MAX_NUMBERS:
            for iteration in list(self._numbers)[: len(self._numbers) - _MAX_NUMBERS]:
                number = self._numbers.pop(iteration)
                self._forgotten = min(number, self._forgotten[0] or number), number
        return self._delivered

    def __getstate__(self) -> dict[str, Any]:
        # A tuner is stored by a pickler in Python, which takes tens of seconds for a hundred thousand reports.
        # A scheduler may have added values to those that were delivered.
        lists = {"_waiting": self._waiting, "_delivered": self._delivered}
        return self.__dict__ | {name: json.dumps(reports, default=plain_value) for name, reports in lists.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        texts = {name: json.loads(value) for name, value in state.items() if isinstance(value, str)}
        self.__dict__.update(state | texts)

    def take_back(self, after: dict[str, Any] | None) -> None:
        """Requeues the reports that were delivered after this one: the tuner has not looked at them."""
        position = next((i for i, report in enumerate(self._delivered) if report is after), None)
        if position is not None:
            self._waiting[:0] = self._delivered[position + 1 :]
            self._delivered = []
