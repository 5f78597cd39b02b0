"""Trials of a tuner that has died, taken over by the elastic local backend of another one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from syne_tune.backend.trial_status import Status
from syne_tune.constants import ST_WORKER_ITER

from syne_hypersched.backends._local import ElasticLocalBackend
from syne_hypersched.backends._processes import TrialProcesses
from syne_hypersched.backends.elastic import ElasticTrial
from syne_hypersched.backends.reports import parse_reports
from syne_hypersched.contract import ST_NUM_DEVICES


@dataclass(frozen=True)
class RestoredTrial:
    """What is known of a trial of the tuner that has died."""

    trial: ElasticTrial
    """The trial, which becomes the backend's. If its status is in progress, it is handed over as a paused one."""

    delivered: Sequence[dict[str, Any]] = ()
    """Its reports that the dead tuner has received."""

    num_launches: int = 0
    """How often it was launched."""

    max_num_devices: int | None = None
    """Most devices on which it can run, None if nothing is known against any number."""


def restore_trials(
    backend: ElasticLocalBackend, restored: Sequence[RestoredTrial], elapsed_s: float, is_set_up: bool
) -> None:
    """Has a backend that has started nothing yet go on with the trials of another one, none of whose processes is left.

    What a trial has reported beyond what was delivered is delivered when the tuner resumes it.

    Parameters
    ----------
    backend
        The backend, with the paths of the experiment.
    restored
        All trials, in the order of their ids, which are 0, 1, 2...
    elapsed_s
        Seconds since the tuning started.
    is_set_up
        Whether the other backend has recorded its devices. It may have died before.
    """
    if not is_set_up:
        backend._start_clock()
    backend.trial_ids = [known.trial.trial_id for known in restored]
    backend._trial_dict = {known.trial.trial_id: known.trial for known in restored}
    backend._started = time.time() - elapsed_s
    for known in restored:
        trial = known.trial
        trial.backend = backend
        if trial.status in (Status.in_progress, Status.paused):
            trial.status = Status.paused
            path = backend.trial_path(trial.trial_id)
            processes = TrialProcesses(trial.trial_id, path / "std.out", path / "std.err", status=Status.paused)
            processes.launch = known.num_launches - 1
            processes.failures.max_num_devices = known.max_num_devices
            _read_log(processes, known.delivered, backend._fleet.time_attr)
            backend._fleet._trials[trial.trial_id] = processes


def _read_log(processes: TrialProcesses, delivered: Sequence[dict[str, Any]], time_attr: str | None) -> None:
    """Queues the reports in a trial's log that were not delivered."""
    stream, now = processes.stream, time.time()
    raw = parse_reports(processes.tail.lines(to_the_end=True), processes.stdout_path)
    position = stream.restore(raw, delivered, time_attr)
    for report in raw[position:]:
        # A script counts its reports anew in every launch.
        if report.get(ST_WORKER_ITER) == 0:
            stream.begin_launch(processes.launch, 1, now)
        restored = stream.accept(report, time_attr, now)
        if restored is not None:
            processes.queue.append(restored)
    for report in (*delivered, *processes.queue):
        processes.failures.report(report[ST_NUM_DEVICES])
