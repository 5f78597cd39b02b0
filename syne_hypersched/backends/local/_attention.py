"""The backend's view of its tuner: how it waits for events of trials, and whether it polls too rarely."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from syne_tune.backend.trial_status import Status

from syne_hypersched.backends.local._news import News
from syne_hypersched.backends.local._stale import StaleWatch


class Attention:
    """Observes what the tuner asks of a backend. See :class:`News` and :class:`StaleWatch`."""

    #: The reports that the tuner was handed last. Objects that earlier versions stored lack them.
    _handed: list[tuple[int, dict[str, Any]]] | None = None

    def __init__(self) -> None:
        self._news = News()
        self._stale = StaleWatch()
        self._looked_at = 0.0

    def starts(self, trial_id: int, log: Path) -> None:
        """A trial is started or resumed, and reports in this file."""
        self._news.watch(trial_id, log)
        self._stale.resume(trial_id)

    def halts(self, trial_id: int, after: dict[str, Any] | None) -> None:
        """A trial is paused or stopped because of a report."""
        self._news.leave(trial_id)
        self._stale.halt(trial_id, after)
        self.end_reports(trial_id, after)

    def end_reports(self, trial_id: int, after: Mapping[str, Any] | None) -> None:
        """A trial's reports after this one are removed from those that the tuner was handed last."""
        handed = self._handed or []
        position = next((index for index, (_, report) in enumerate(handed) if report is after), len(handed))
        handed[position + 1 :] = [each for each in handed[position + 1 :] if each[0] != trial_id]

    def looks(self) -> set[int] | None:
        """The tuner looks for new reports; returns the trials that may have some, None: any of them may."""
        self._looked_at = time.thread_time()
        self._stale.enter()
        return self._news.take_grown()

    def has_looked(
        self, statuses: Mapping[int, str], reports: Sequence[tuple[int, dict[str, Any]]], may_stop: bool
    ) -> None:
        """The tuner gets these, for a scheduler that may pause or stop trials."""
        ended = [item for item in statuses.items() if item[1] != Status.in_progress]
        for trial_id, _ in ended:
            self._news.leave(trial_id)
        self._news.fetched(len(reports), time.thread_time() - self._looked_at)
        completed = [trial_id for trial_id, status in ended if may_stop and status == Status.completed]
        self._stale.leave(reports, completed)

    def hands(self, reports: list[tuple[int, dict[str, Any]]]) -> list[tuple[int, dict[str, Any]]]:
        """Returns the reports for the tuner.

        If a trial is paused or stopped because of one of them, its later reports are removed from the list. The tuner
        does not pass these to the scheduler. But its statistics would count them, and again after a resume. A metric
        that is no number there would even end the statistics of this metric.
        """
        self._handed = reports
        return reports

    def wait(self, at_most_s: float) -> None:
        """Returns at the next event, at the latest after ``at_most_s`` seconds and after one second."""
        self._stale.calm()
        self._news.wait(at_most_s)

    def set_due(self, due: float) -> None:
        """The tuning ends at this moment (monotonic seconds): no wait lasts longer."""
        self._news.set_due(due)

    def telling(self, tell: Callable[..., None]) -> Callable[..., None]:
        """A function that calls ``tell``, and then ends a wait."""
        return self._news.telling(tell)

    def end(self) -> None:
        """No trial is left."""
        self._news.close()
        self._handed = None
