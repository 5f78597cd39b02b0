"""What the tuner has not been told yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from syne_hypersched.backends.virtual._trial import VirtualTrial

Reports = list[tuple[int, dict[str, Any]]]


class Outbox:
    """Reports and ends of trials, from when they happen until the tuner looks."""

    def __init__(self) -> None:
        #: Whether the tuner must poll before the time advances.
        self.due = False
        #: Reports that were not taken, in the order of time.
        self._reports: list[tuple[VirtualTrial, dict[str, Any]]] = []
        self._ended: list[int] = []

    def report(self, trial: VirtualTrial, report: dict[str, Any]) -> None:
        """A trial has reported."""
        self._reports.append((trial, report))
        self.due = True

    def end(self, trial: VirtualTrial) -> None:
        """A trial has completed or failed."""
        self._ended.append(trial.trial_id)
        self.due = True

    def keep(self, trial: VirtualTrial, after: Mapping[str, Any] | None) -> None:
        """A trial is halted because of the report ``after``: later ones are kept for a resume.

        If it has ended since then, the tuner is not told: a resume launches it, with nothing left to train.
        """
        if after is not None:
            trial.keep_after(after)
        if self._reports:
            trial.kept += [report for reporter, report in self._reports if reporter is trial]
            self._reports = [entry for entry in self._reports if entry[0] is not trial]
        if trial.trial_id in self._ended:
            self._ended.remove(trial.trial_id)

    def give_back(self, trial: VirtualTrial) -> None:
        """Requeues the reports that were held back while the trial was paused."""
        if trial.kept:
            for report in trial.kept:
                self.report(trial, report)
            trial.kept = []

    def take_all(self) -> tuple[list[tuple[VirtualTrial, dict[str, Any]]], list[int]]:
        """The same as :meth:`take`, for callers that read all reports at once, so that none is kept.

        Returns
        -------
        tuple
            Reports as (trial, report), in the order of time, and the ids of trials that have ended, ascending.
        """
        reports, ended = self._reports, self._ended
        self._reports = []
        self.due = False
        if ended:
            ended.sort()
            self._ended = []
        return reports, ended

    def take(self, trial_ids: Collection[int] | None) -> tuple[Reports, list[int]]:
        """Takes the new reports of these trials, or of all, and the trials that have ended.

        Returns
        -------
        tuple
            Reports as (trial id, report), in the order of time, and the ids of all trials that have completed or
            failed, ascending.
        """
        reports, ended = self.take_all()
        for trial, _ in reports:
            trial.delivered = []
        taken: Reports = []
        for trial, report in reports:
            if trial_ids is None or trial.trial_id in trial_ids:
                trial.delivered.append(report)
                taken.append((trial.trial_id, report))
            else:
                self._reports.append((trial, report))
        return taken, ended
