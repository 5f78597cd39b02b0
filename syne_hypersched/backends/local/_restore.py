"""Trials of a tuner that has died, as a backend of another one takes them over."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syne_tune.backend.trial_status import Status
from syne_tune.constants import ST_WORKER_ITER

from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.shared.elastic import ElasticTrial
from syne_hypersched.contract import ST_NUM_DEVICES
from syne_hypersched.filenames import STDERR_FILENAME, STDOUT_FILENAME


@dataclass(frozen=True)
class RestoredTrial:
    """What is known of a trial of the tuner that has died."""

    trial: ElasticTrial
    """The trial. If its status is in progress, it is taken over as a paused one, which the tuner will resume."""

    delivered: Sequence[dict[str, Any]] = ()
    """Its reports that the dead tuner has received."""

    launch: int = -1
    """Index of its last launch; -1: none was recorded."""

    devices: tuple[str, ...] = ()
    """Devices of that launch."""

    is_lost: bool = False
    """Whether the end of that launch was not recorded."""

    num_devices: int = 0
    """Devices on which it is to go on; 0: as many as every trial resumes with."""

    max_num_devices: int | None = None
    """Most devices on which it can run as far as the scheduler knew, None if nothing was known against any number."""

    failures: Mapping[str, Any] | None = None
    """The last entry ``failures`` of the trial's events (:meth:`TrialProcesses.faults`), None if there is none. It has
    ``go_back_from`` only if there was no launch after it."""

    source: int | None = None
    """The trial with whose checkpoint it begins; None: it begins from the beginning."""

    def processes(self, folder: Path, time_attr: str | None, num_devices_per_trial: int) -> TrialProcesses:
        """The record of the trial's processes, as it was when they had ended.

        What the trial has reported beyond what was delivered is queued, and delivered when the tuner resumes it.

        Parameters
        ----------
        folder
            Folder with its logs.
        time_attr
            Entry of a report that is the resource level, if known.
        num_devices_per_trial
            Devices of a first launch, which the dead tuner may not have lived to record.
        """
        status = self.trial.status
        goes_on = status in (Status.in_progress, Status.paused)
        made = TrialProcesses(
            self.trial.trial_id,
            folder / STDOUT_FILENAME,
            folder / STDERR_FILENAME,
            status=Status.paused if goes_on else status,
            launch=self.launch,
        )
        if goes_on:
            made.resumes_on = self.num_devices
            self._restore_reports(made, time_attr, len(self.devices) or num_devices_per_trial)
        return made

    def _restore_reports(self, made: TrialProcesses, time_attr: str | None, num_devices: int) -> None:
        """Queues the reports in the trial's log that were not delivered, and counts its failures since the last one."""
        stream, now = made.reports.stream, time.time()
        raw = [report.values for report in made.reports.tail.reports(to_the_end=True)]
        position, numbers = stream.restore(raw, self.delivered, time_attr)
        made.reports.skip(position, numbers)
        before = raw[position - 1] if position else None
        for report in raw[position:]:
            if _begins_launch(report, before, time_attr):
                stream.begin_launch(max(0, self.launch), num_devices, now)
            before = report
            made.reports.accept(report, time_attr, now)
        for report in (*self.delivered, *made.reports.waiting):
            made.failures.report(report[ST_NUM_DEVICES])
        if self.failures is not None:
            made.failures.restore(self.failures, stream.num_reports > self.failures["num_reports"])
            if self.failures.get("go_back_from") is not None:
                made.fallback.restore(self.failures["go_back_from"])
        if self.max_num_devices is not None:
            made.failures.limit(self.max_num_devices)


def _begins_launch(report: Mapping[str, Any], before: Mapping[str, Any] | None, time_attr: str | None) -> bool:
    """Whether a report is the first of a launch, given the one before it in the log."""
    # Syne Tune's reporter counts from 0 in every launch. Scripts that print reports themselves need not count.
    if before is None or report.get(ST_WORKER_ITER) == 0:
        return True
    if ST_WORKER_ITER in report or time_attr is None:
        return False
    level, last = report.get(time_attr), before.get(time_attr)
    return isinstance(level, (int, float)) and isinstance(last, (int, float)) and level <= last
