"""Runs a tuning."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from syne_tune import Tuner
from syne_tune.util import experiment_path

from syne_hypersched import backends, schedulers
from syne_hypersched._metadata import read_metadata, scheduler_arguments
from syne_hypersched._wording import counted
from syne_hypersched.deadline import Deadline
from syne_hypersched.experiments import LiveProgress, MissingEntryError, QuietTunerLogger
from syne_hypersched.records.find import find_run
from syne_hypersched.recovery import Journal, resume_experiment
from syne_hypersched.tuning._job import TuneJob
from syne_hypersched.tuning._names import NameGuard


def make_tuner(job: TuneJob, *, is_new: bool = True) -> Tuner:
    """The tuner of a tuning; nothing has been started.

    Parameters
    ----------
    job
        The tuning.
    is_new
        Whether it is a new experiment, whose name must not be in use.

    Raises
    ------
    TypeError, ValueError
        The scheduler or the backend refuses an argument, or there is an experiment of this name.
    """
    if is_new and job.name is not None and Path(experiment_path(tuner_name=job.name)).exists():
        raise ValueError(
            f"--name must be new, but there is an experiment {job.name!r} in {experiment_path()}: choose another name, "
            f"or continue it with --resume {job.name}"
        )
    name, arguments = job.scheduler_call()
    backend_name, options = job.backend_call()
    backend: Any = getattr(backends, backend_name)(job.script, **options)
    scheduler: Any = getattr(schedulers, name)(job.config_space, **arguments)
    return Tuner(
        backend,
        scheduler,
        Deadline(job.deadline_s, trial_backend=backend),
        n_workers=backend.num_devices,
        callbacks=[Journal(), LiveProgress()],
        output_logger=QuietTunerLogger(),
        **job.tuner_arguments(),
    )


def with_recorded_seed(job: TuneJob, resume: str) -> TuneJob:
    """The tuning with the seed that an experiment was given or has drawn, unless the tuning names one itself.

    Parameters
    ----------
    job
        The tuning.
    resume
        Name or folder of the experiment that is continued. If it has recorded no seed, nothing changes.
    """
    if job.seed is not None:
        return job
    try:
        return replace(job, seed=scheduler_arguments(read_metadata(find_run(resume))).get("random_seed"))
    except (OSError, ValueError, TypeError):
        return job  # what is wrong with the experiment is said when it is continued


def run_job(tuner: Tuner, resume: str | None = None) -> tuple[Path, str]:
    """Runs a tuner to its end, or continues an experiment with it.

    Parameters
    ----------
    tuner
        The tuner.
    resume
        Name or folder of the experiment that is continued.

    Returns
    -------
    tuple
        The folder of the experiment, and why the tuning has ended before its time; empty if it has not.
    """
    logging.getLogger().setLevel(logging.WARNING)
    tuner.callbacks.append(NameGuard())
    try:
        if resume is None:
            tuner.run()
        else:
            tuner = resume_experiment(resume, tuner)
    except MissingEntryError as error:
        return tuner.tuner_path, str(error)
    except ValueError:
        failed = 0 if tuner.tuning_status is None else tuner.tuning_status.num_trials_failed
        if failed <= tuner.max_failures:
            raise
        have = "has" if failed == 1 else "have"
        told = f"{counted(failed, 'trial')} {have} failed, more than --max-failures {tuner.max_failures} allows"
        return tuner.tuner_path, told
    return tuner.tuner_path, ""
