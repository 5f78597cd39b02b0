"""Notices a tuner that looks so rarely that trials train on long after they were to be paused or stopped."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any

from syne_tune.constants import ST_WORKER_ITER, ST_WORKER_TIMESTAMP

from syne_hypersched.contract import ST_LAUNCH

logger = logging.getLogger(__name__)

#: Conditions for a warning: number of trials that were paused or stopped, and number of reports after that.
LEAST_HALTS, LEAST_LATE = 3, 20
#: Share of all reports that must have come too late, and of the time between polls that the tuner must have slept.
LEAST_SHARE, ASLEEP_SHARE = 0.1, 0.5
#: A tuner that looks at every report at once needs no advice, however fast its trials report.
LEAST_SLEEP_S = 0.02

Report = tuple[int, dict[str, Any]]


class StaleWatch:
    """Warns once of a tuner that sleeps while its decisions go stale.

    A trial that is paused or stopped because of a report has trained on since, until the tuner looked. What a paused
    trial has trained is kept for its resume, and counts for nothing only until then.

    Parameters
    ----------
    clock, processor_clock
        Seconds of real time and of this process on a processor: a slow searcher is another matter than a sleep.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, processor_clock: Callable[[], float] = time.process_time
    ) -> None:
        self._clock = clock
        self._processor_clock = processor_clock
        self._left: tuple[float, float] | None = None
        self._sleeps_s: list[float] = []
        self._asleep_s = self._between_s = 0.0
        self._num_reports = self._num_halts = 0
        #: Trials that have trained from start to end between two polls, so that nothing could be decided about them.
        self._num_unseen = 0
        #: Seconds from one report of a trial to its next, how many such spans, and in how many looks at a trial.
        self._span_s, self._num_spans, self._num_batches = 0.0, 0, 0
        #: What was handed out last: the reports of each trial, in order.
        self._handed: dict[int, list[dict[str, Any]]] = {}
        self._late: Counter[int] = Counter()
        self._is_over = False

    def calm(self) -> None:
        """The tuner waits for news rather than sleeps: there is nothing to notice."""
        self._is_over = True
        self._handed = {}

    def enter(self) -> None:
        """A poll begins."""
        if self._is_over or self._left is None:
            return
        between_s = self._clock() - self._left[0]
        asleep_s = max(0.0, between_s - (self._processor_clock() - self._left[1]))
        self._between_s += between_s
        self._asleep_s += asleep_s
        if asleep_s >= LEAST_SLEEP_S:
            self._sleeps_s.append(asleep_s)
            del self._sleeps_s[:-100]

    def leave(self, reports: Sequence[Report], completed: Collection[int] = ()) -> None:
        """A poll ends, and hands out these reports; of some trials, which have completed, they are the last."""
        if self._is_over:
            return
        self._warn_if_due()
        handed: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for trial_id, report in reports:
            handed[trial_id].append(report)
        for trial_id, of_trial in handed.items():
            if trial_id in completed and len(of_trial) > 1 and of_trial[0].get(ST_WORKER_ITER) == 0:
                self._num_unseen += 1
            of_launch = [report for report in of_trial if report.get(ST_LAUNCH) == of_trial[-1].get(ST_LAUNCH)]
            stamps = [report[ST_WORKER_TIMESTAMP] for report in of_launch]
            self._span_s += max(stamps) - min(stamps)
            self._num_spans += len(stamps) - 1
            self._num_batches += 1
        self._num_reports += len(reports)
        self._handed = handed
        self._left = self._clock(), self._processor_clock()

    def halt(self, trial_id: int, after: dict[str, Any] | None) -> None:
        """A trial is paused or stopped because of a report."""
        of_trial = self._handed.get(trial_id, [])
        position = next((i for i, report in enumerate(of_trial) if report is after), None)
        if self._is_over or position is None:
            return
        self._num_halts += 1
        self._late[trial_id] += len(of_trial) - position - 1

    def resume(self, trial_id: int) -> None:
        """A trial goes on: the reports that it has made after its pause are delivered now."""
        self._num_reports -= self._late.pop(trial_id, 0)

    def advice(self) -> str | None:
        """What is to be said, if anything."""
        late = sum(self._late.values())
        share = late / self._num_reports if self._num_reports else 0.0
        if self._num_halts >= LEAST_HALTS and late >= LEAST_LATE and share >= LEAST_SHARE:
            what = (
                f"{share:.0%} of the epochs so far ({late} of {self._num_reports}) were trained after the report at "
                "which their trial was to be paused or stopped"
            )
        elif self._num_unseen >= LEAST_HALTS:
            what = (
                f"{self._num_unseen} trials have trained from start to end between two looks, so that none of them "
                "could be paused or stopped"
            )
        else:
            return None
        if not self._sleeps_s or not self._num_spans or self._asleep_s < ASLEEP_SHARE * self._between_s:
            return None
        every_s = _typical_s(self._sleeps_s)
        # A script that does not say when it reports seems to do so when it is looked at: all at once.
        report_s = self._span_s / self._num_spans or every_s * self._num_batches / (self._num_batches + self._num_spans)
        if every_s < 2 * report_s:
            return None
        better_s = min(0.1, max(0.01, report_s / 2))
        return (
            f"The tuner looks every {every_s:.2g} s, but trials report every {report_s:.2g} s: {what}. Have the tuner "
            "wait for reports with Tuner(..., callbacks=[WaitForReports()]), from syne_hypersched, or set "
            f"sleep_time={better_s:.1g}."
        )

    def _warn_if_due(self) -> None:
        advice = self.advice()
        if advice is not None:
            logger.warning("%s", advice)
            self.calm()

    def __getstate__(self) -> dict[str, Any]:
        # Readings of these clocks and reports of the past are not valid in another process.
        return {**self.__dict__, "_left": None, "_handed": {}}


def _typical_s(sleeps_s: Sequence[float]) -> float:
    """The length of the sleep in which half of all time asleep is over, from the shortest sleep to the longest.

    A tuner that starts trials looks again at once, without having slept: half of what is between its looks may be such
    starts, which wait for processes for a moment. They say nothing of its ``sleep_time``.
    """
    ascending, so_far_s = sorted(sleeps_s), 0.0
    half_s = sum(ascending) / 2
    for sleep_s in ascending:
        so_far_s += sleep_s
        if so_far_s >= half_s:
            break
    return sleep_s
