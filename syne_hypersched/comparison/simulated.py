"""One run in virtual time."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from syne_tune.backend.trial_status import Trial
from syne_tune.constants import ST_TUNER_TIME, ST_WORKER_TIME

from syne_hypersched.backends import LaunchCost
from syne_hypersched.comparison.benchmarks import load_benchmark
from syne_hypersched.comparison.reading import Reports
from syne_hypersched.comparison.runs import RunOutcome, StudyRun
from syne_hypersched.comparison.scaling import parse_scaling, scaling_table
from syne_hypersched.comparison.schedulers import SchedulerSpec, make_scheduler
from syne_hypersched.comparison.settings import Scenario, Study
from syne_hypersched.comparison.timing import TimedScheduler
from syne_hypersched.contract import ST_NUM_DEVICES
from syne_hypersched.schedulers import hypersched
from syne_hypersched.simulation import Simulation, simulate


def simulate_run(study: Study, run: StudyRun, path: Path | None = None) -> RunOutcome:
    """Executes one run in virtual time.

    Parameters
    ----------
    study, run
        The study and one of its runs.
    path
        Folder in which the run is stored in Syne Tune's format; None stores nothing.
    """
    scenario = run.scenario
    benchmark = load_benchmark(scenario.benchmark, study.table)
    problem = benchmark.problem
    deadlines_s = [deadline.in_seconds(benchmark.full_run_s) for deadline in run.deadlines]
    scaling = parse_scaling(scenario.scaling or "none")
    given = scaling_table(scaling, scenario.num_devices)
    spec = SchedulerSpec.parse(run.scheduler)
    points = benchmark.points(
        run.seed, scenario.num_devices, deadlines_s[-1], study.max_num_trials, whole=spec.searcher == "joint"
    )
    # Syne Tune's own schedulers and searchers draw from the process-wide generators.
    random.seed(run.seed)
    np.random.seed(run.seed)
    devices_over_time = scenario.devices_over_time(deadlines_s[-1])
    scheduler = TimedScheduler(
        make_scheduler(spec, problem, run.seed, scenario.num_devices, deadlines_s[-1], points, given, devices_over_time)
    )
    log = ReportLog(problem.metric, problem.time_attr, benchmark.true_metric)
    with _without_notices():
        simulation = simulate(
            scheduler,
            benchmark.table,
            num_devices=scenario.num_devices,
            deadline_s=deadlines_s[-1],
            max_num_trials=study.max_num_trials,
            scaling=scaling,
            launch_cost=_launch_cost(scenario, benchmark.full_run_s),
            seed=benchmark.table_seed(run.seed),
            devices_over_time=devices_over_time,
            on_result=log,
        )
    if path is not None:
        store(simulation, path)
    scale = benchmark.regret_scale(run.seed)
    return RunOutcome.of(run, log.reports(), deadlines_s, problem.do_minimize, scheduler.elapsed_s, scale)


def _launch_cost(scenario: Scenario, full_run_s: float) -> LaunchCost:
    start_s, resume_s, join_s = (
        None if cost is None else cost.in_seconds(full_run_s)
        for cost in (scenario.launch_cost, scenario.relaunch_cost, scenario.join_cost)
    )
    start_s = start_s or 0.0
    if join_s is None:
        return LaunchCost(start_s=start_s, resume_s=resume_s)
    return LaunchCost(start_s=start_s, resume_s=resume_s, prepare_s=start_s, join_s=join_s)


@contextmanager
def _without_notices() -> Iterator[None]:
    """Suppresses warnings that a scheduler gives once per tuning, because a study has hundreds of runs."""
    notices = logging.getLogger(hypersched.__name__)
    before = notices.level
    notices.setLevel(logging.ERROR)
    try:
        yield
    finally:
        notices.setLevel(before)


class ReportLog:
    """The columns of :class:`~syne_hypersched.comparison.reading.Reports`, filled while a simulation runs."""

    def __init__(self, metric: str, time_attr: str, true_metric: str | None = None) -> None:
        true = [] if true_metric is None else [true_metric]
        self._names = (ST_TUNER_TIME, time_attr, metric, ST_WORKER_TIME, ST_NUM_DEVICES, *true)
        self._rows: list[tuple[float, ...]] = []

    def __call__(self, trial: Trial, result: Mapping[str, Any], decision: str) -> None:
        """Adds a report."""
        self._rows.append((trial.trial_id, *(result[name] for name in self._names)))

    def reports(self) -> Reports:
        """All reports so far."""
        return Reports(*np.array(self._rows, dtype=float).reshape(-1, 1 + len(self._names)).T)


def store(simulation: Simulation, path: Path) -> None:
    """Stores a run in Syne Tune's format, without the configurations to try first.

    These configurations are the rows of the table in the order of the seed. They would fill most of the metadata.
    """
    arguments = simulation.metadata.get("scheduler_kwargs", {})
    slim = {name: value for name, value in arguments.items() if name != "points_to_evaluate"}
    replace(simulation, metadata=simulation.metadata | {"scheduler_kwargs": slim}).save(path)
