"""Creates and runs the tuner of a job."""

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
    """Creates the tuner of a job, without starting anything.

    Parameters
    ----------
    job
        The tuning.
    is_new
        Whether this is a new experiment, whose name must not be in use.

    Raises
    ------
    TypeError, ValueError
        The scheduler or the backend rejects an argument, or an experiment of this name exists.
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
    """The job with the seed that an experiment has recorded, unless the job has its own seed.

    Parameters
    ----------
    job
        The tuning.
    resume
        Name or folder of the experiment to continue. If it has recorded no seed, the job does not change.
    """
    if job.seed is not None:
        return job
    try:
        return replace(job, seed=scheduler_arguments(read_metadata(find_run(resume))).get("random_seed"))
    except (OSError, ValueError, TypeError):
        return job  # a problem of the experiment is reported when it is continued


def run_job(tuner: Tuner, resume: str | None = None) -> tuple[Path, str]:
    """Runs a tuner to its end, or continues an experiment with it.

    Parameters
    ----------
    tuner
        The tuner.
    resume
        Name or folder of the experiment to continue.

    Returns
    -------
    tuple
        The folder of the experiment, and why the tuning ended early; empty if it did not.
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
