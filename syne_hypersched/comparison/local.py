"""One run in real time on this machine, with the stock tuner and a real training script."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from syne_tune import Tuner
from syne_tune.results_callback import StoreResultsCallback

from syne_hypersched.backends import ElasticLocalBackend
from syne_hypersched.comparison.reading import Reports
from syne_hypersched.comparison.runs import RunOutcome, StudyRun
from syne_hypersched.comparison.schedulers import SchedulerSpec, make_scheduler
from syne_hypersched.comparison.scripts import find_script
from syne_hypersched.comparison.settings import Study
from syne_hypersched.comparison.timing import TimedScheduler
from syne_hypersched.deadline import Deadline
from syne_hypersched.experiments import LiveProgress, QuietTunerLogger, load_run

#: Number of trials that may fail before a run is aborted.
MAX_FAILURES = 10


def train_run(study: Study, run: StudyRun, path: Path) -> RunOutcome:
    """Executes one run in real time. It is stored as an ordinary experiment of Syne Tune.

    Parameters
    ----------
    study, run
        The study and one of its runs; the deadlines are in seconds.
    path
        Folder of the experiment.
    """
    script = find_script(run.scenario.benchmark)
    problem = script.problem(study.script_options, study.max_t)
    deadlines_s = [deadline.in_seconds(None) for deadline in run.deadlines]
    random.seed(run.seed)
    np.random.seed(run.seed)
    scheduler = TimedScheduler(
        make_scheduler(SchedulerSpec.parse(run.scheduler), problem, run.seed, run.scenario.num_devices, deadlines_s[-1])
    )
    backend = ElasticLocalBackend(
        script.path,
        num_devices=run.scenario.num_devices,
        processes=script.processes,
        time_attr=problem.time_attr,
    )
    live = LiveProgress()  # created here, so that it names the run for users with experiments in another folder
    with _experiments_in(path.parent):
        tuner = Tuner(
            trial_backend=backend,
            scheduler=scheduler,
            stop_criterion=Deadline(deadlines_s[-1], trial_backend=backend),
            n_workers=run.scenario.num_devices,
            sleep_time=0.05,
            max_failures=MAX_FAILURES,
            tuner_name=path.name,
            suffix_tuner_name=False,
            save_tuner=False,
            callbacks=[StoreResultsCallback(), live],
            output_logger=QuietTunerLogger(),
        )
        tuner.run()
    reports = _read(path, problem.time_attr)
    return RunOutcome.of(run, reports, deadlines_s, problem.do_minimize, scheduler.elapsed_s)


def _read(path: Path, time_attr: str) -> Reports:
    reports = load_run(path, time_attr).reports
    columns = [
        [report.trial_id for report in reports],
        [report.time_s for report in reports],
        [report.resource for report in reports],
        [report.value for report in reports],
        [report.worker_time_s or 0.0 for report in reports],
        [report.num_devices or 1 for report in reports],
    ]
    return Reports(*(np.array(column, dtype=float) for column in columns))


@contextmanager
def _experiments_in(folder: Path) -> Iterator[None]:
    """Makes Syne Tune store its experiments in a folder; only the environment can set this."""
    before = os.environ.get("SYNETUNE_FOLDER")
    os.environ["SYNETUNE_FOLDER"] = str(folder.resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ["SYNETUNE_FOLDER"]
        else:
            os.environ["SYNETUNE_FOLDER"] = before
