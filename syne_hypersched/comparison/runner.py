"""Runs a study: keeps finished runs, and executes the others, in several processes if they are simulated."""

from __future__ import annotations

import contextlib
import functools
import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from syne_hypersched.comparison.problems import find_problem
from syne_hypersched.comparison.reading import Reading
from syne_hypersched.comparison.runs import RunOutcome, StudyRun, plan
from syne_hypersched.comparison.scaling import parse_scaling, scaling_table
from syne_hypersched.comparison.schedulers import SchedulerSpec, make_scheduler
from syne_hypersched.comparison.settings import Duration, Scenario, Study
from syne_hypersched.comparison.storage import StudyFolder

OnProgress = Callable[[int, int, str], None]
"""Receives the number of finished runs, the number of all runs, and the title of the last finished run."""

Finished = Generator[tuple[StudyRun, RunOutcome], None, None]
"""Runs with their outcomes, in the order in which they finish."""


@dataclass(frozen=True)
class Results:
    """The outcomes of all runs of a study, in the order of the runs."""

    study: Study
    runs: tuple[StudyRun, ...]
    outcomes: tuple[RunOutcome, ...]

    def __iter__(self) -> Iterator[tuple[StudyRun, RunOutcome]]:
        return zip(self.runs, self.outcomes, strict=True)

    def outcomes_of(self, scenario: Scenario, scheduler: str, deadline: Duration) -> list[RunOutcome]:
        """The outcomes of a scheduler's runs that are read at a deadline, in the order of the seeds."""
        return [
            outcome
            for run, outcome in self
            if run.scenario == scenario and run.scheduler == scheduler and deadline in run.deadlines
        ]

    def readings_of(self, scenario: Scenario, scheduler: str, deadline: Duration) -> list[Reading]:
        """The results of a scheduler's runs at a deadline, in the order of the seeds."""
        return [outcome.reading(deadline) for outcome in self.outcomes_of(scenario, scheduler, deadline)]


class RunFailedError(RuntimeError):
    """A run ended with an error; finished runs are kept."""


def run_study(
    study: Study,
    output: Path | None = None,
    jobs: int = 1,
    store_runs: bool = True,
    on_progress: OnProgress = lambda done, total, title: None,
) -> Results:
    """Runs a study, or continues it.

    Parameters
    ----------
    study
        The study.
    output
        Folder of the results. Runs that finished there earlier are not repeated. None keeps everything in memory, which
        the local backend does not allow.
    jobs
        Number of processes for simulations. Runs in real time are executed one by one, since each needs the machine.
    store_runs
        Whether every simulated run is also stored in Syne Tune's format.
    on_progress
        Called in this process when a run has finished.

    Raises
    ------
    ValueError
        The folder contains results of other settings, or the settings are invalid for the benchmark.
    RunFailedError
        A run ended with an error.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, but got {jobs!r}")
    runs = tuple(plan(study))
    check_study(study)
    folder = None if output is None else StudyFolder(Path(output))
    outcomes: dict[StudyRun, RunOutcome] = {}
    if folder is not None:
        folder.claim(study)
        outcomes = {run: outcome for run in runs if (outcome := folder.load(run)) is not None}
    pending = [run for run in runs if run not in outcomes]
    on_progress(len(outcomes), len(runs), "")
    execute = functools.partial(_execute, study, folder, store_runs)
    in_processes = jobs > 1 and study.backend == "simulator" and len(pending) > 1
    finished = _in_processes(execute, pending, jobs) if in_processes else _one_by_one(execute, pending)
    with contextlib.closing(finished):
        for run, outcome in finished:
            outcomes[run] = outcome
            on_progress(len(outcomes), len(runs), run.title)
    return Results(study, runs, tuple(outcomes[run] for run in runs))


def check_study(study: Study) -> None:
    """Creates every scheduler once, to find invalid arguments before the first run.

    Raises
    ------
    ValueError
        A scheduler, one of its options, an option of the script, or the scaling is invalid; the message names it.
    """
    for scenario in study.scenarios:
        problem = find_problem(study, scenario)
        scaling = None if scenario.scaling is None else parse_scaling(scenario.scaling)
        given = None if scaling is None else scaling_table(scaling, scenario.num_devices)
        for scheduler in scenario.schedulers:
            spec = SchedulerSpec.parse(scheduler)
            try:
                make_scheduler(spec, problem, seed=0, num_devices=scenario.num_devices, deadline_s=1.0, scaling=given)
            except (TypeError, ValueError) as error:
                raise ValueError(f"scheduler {scheduler!r}: {error}") from error


def _execute(study: Study, folder: StudyFolder | None, store_runs: bool, run: StudyRun) -> RunOutcome:
    # Syne Tune's schedulers and tuner log a line for every trial.
    logging.getLogger().setLevel(logging.WARNING)
    try:
        if study.backend == "simulator":
            from syne_hypersched.comparison.simulated import simulate_run

            path = folder.begin(run) if folder is not None and store_runs else None
            outcome = simulate_run(study, run, path)
        elif folder is None:
            raise ValueError("output must be a folder with the local backend, but got None")
        else:
            from syne_hypersched.comparison.local import train_run

            outcome = train_run(study, run, folder.begin(run))
    except Exception as error:
        raise RunFailedError(f"{run.title}: {type(error).__name__}: {error}") from error
    if folder is not None:
        folder.finish(run, outcome)
    return outcome


def _one_by_one(execute: Callable[[StudyRun], RunOutcome], runs: list[StudyRun]) -> Finished:
    for run in runs:
        yield run, execute(run)


def _in_processes(execute: Callable[[StudyRun], RunOutcome], runs: list[StudyRun], jobs: int) -> Finished:
    # Each process has one core, and threads of numerical libraries would only compete for it.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    before = set(multiprocessing.active_children())
    # Spawn new interpreters instead of forks: this process may have threads, and its state is not needed.
    executor = ProcessPoolExecutor(
        min(jobs, len(runs)), mp_context=multiprocessing.get_context("spawn"), initializer=_ignore_interrupt
    )
    try:
        futures = {executor.submit(execute, run): run for run in runs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _ignore_interrupt() -> None:
    # Ctrl-C reaches all processes of the terminal; the main process ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
