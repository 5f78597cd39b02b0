"""One run in virtual time."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from syne_tune.backend.trial_status import Trial
from syne_tune.constants import ST_TUNER_TIME, ST_WORKER_TIME
from syne_tune.optimizer.scheduler import TrialScheduler, TrialSuggestion

from benchmarking.comparison.benchmarks import load_benchmark
from benchmarking.comparison.reading import Reports
from benchmarking.comparison.runs import Outcome, Run
from benchmarking.comparison.scaling import parse_scaling, scaling_table
from benchmarking.comparison.schedulers import SchedulerSpec, make_scheduler
from benchmarking.comparison.settings import Duration, Study
from syne_hypersched.backends import LaunchCost
from syne_hypersched.contract import ST_NUM_DEVICES
from syne_hypersched.simulation import Simulation, simulate


def simulate_run(study: Study, run: Run, path: Path | None = None) -> Outcome:
    """Carries out one run in virtual time.

    Parameters
    ----------
    study, run
        What to do.
    path
        Folder into which the run is stored in Syne Tune's format; None stores nothing.
    """
    scenario = run.scenario
    benchmark = load_benchmark(scenario.benchmark, study.table)
    problem = benchmark.problem
    deadlines_s = [deadline.in_seconds(benchmark.full_run_s) for deadline in run.deadlines]
    launch_cost = scenario.launch_cost or Duration(0)
    scaling = parse_scaling(scenario.scaling or "none")
    given = scaling_table(scaling, scenario.num_devices)
    points = benchmark.points(run.seed, scenario.num_devices, deadlines_s[-1], study.max_num_trials)
    # Syne Tune's own schedulers and searchers draw from the process-wide generators.
    random.seed(run.seed)
    np.random.seed(run.seed)
    spec = SchedulerSpec.parse(run.scheduler)
    scheduler = TimedScheduler(
        make_scheduler(spec, problem, run.seed, scenario.num_devices, deadlines_s[-1], points, given)
    )
    log = ReportLog(problem.metric, problem.time_attr)
    simulation = simulate(
        scheduler,
        benchmark.table,
        num_devices=scenario.num_devices,
        deadline_s=deadlines_s[-1],
        max_num_trials=study.max_num_trials,
        scaling=scaling,
        launch_cost=LaunchCost(start_s=launch_cost.in_seconds(benchmark.full_run_s)),
        seed=benchmark.table_seed(run.seed),
        on_result=log,
    )
    if path is not None:
        store(simulation, path)
    scale = benchmark.regret_scale(run.seed)
    return Outcome.of(run, log.reports(), deadlines_s, problem.do_minimize, scheduler.elapsed_s, scale)


class ReportLog:
    """The columns of :class:`~benchmarking.comparison.reading.Reports`, filled while a simulation runs."""

    def __init__(self, metric: str, time_attr: str) -> None:
        self._names = (ST_TUNER_TIME, time_attr, metric, ST_WORKER_TIME, ST_NUM_DEVICES)
        self._rows: list[tuple[float, ...]] = []

    def __call__(self, trial: Trial, result: Mapping[str, Any], decision: str) -> None:
        self._rows.append((trial.trial_id, *(result[name] for name in self._names)))

    def reports(self) -> Reports:
        """All reports so far."""
        return Reports(*np.array(self._rows, dtype=float).reshape(-1, 1 + len(self._names)).T)


def store(simulation: Simulation, path: Path) -> None:
    """Stores a run in Syne Tune's format, without the configurations to try first.

    They are the rows of the table in the order of the seed, and would make up most of the metadata of every run.
    """
    arguments = simulation.metadata.get("scheduler_kwargs", {})
    slim = {name: value for name, value in arguments.items() if name != "points_to_evaluate"}
    replace(simulation, metadata=simulation.metadata | {"scheduler_kwargs": slim}).save(path)


class TimedScheduler(TrialScheduler):
    """Any scheduler, and the real time that it takes.

    Attributes
    ----------
    elapsed_s
        Seconds spent in the scheduler so far.
    """

    def __init__(self, scheduler: TrialScheduler) -> None:
        super().__init__(random_seed=scheduler.random_seed)
        self.scheduler = scheduler
        self.elapsed_s = 0.0

    def suggest(self) -> TrialSuggestion | None:
        return self._timed(self.scheduler.suggest)

    def on_trial_add(self, trial: Trial) -> None:
        self._timed(self.scheduler.on_trial_add, trial=trial)

    def on_trial_error(self, trial: Trial) -> None:
        self._timed(self.scheduler.on_trial_error, trial=trial)

    def on_trial_result(self, trial: Trial, result: dict[str, Any]) -> str:
        return str(self._timed(self.scheduler.on_trial_result, trial=trial, result=result))

    def on_trial_complete(self, trial: Trial, result: dict[str, Any]) -> None:
        self._timed(self.scheduler.on_trial_complete, trial=trial, result=result)

    def on_trial_remove(self, trial: Trial) -> None:
        self._timed(self.scheduler.on_trial_remove, trial=trial)

    def metric_names(self) -> list[str]:
        return list(self.scheduler.metric_names())

    def metric_mode(self) -> str:
        return str(self.scheduler.metric_mode())

    def metadata(self) -> dict[str, Any]:
        return dict(self.scheduler.metadata())

    def _timed(self, method: Callable[..., Any], **arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return method(**arguments)
        finally:
            self.elapsed_s += time.perf_counter() - started


def quiet() -> None:
    """Has the schedulers and the tuner log nothing below warnings, in this process."""
    logging.getLogger().setLevel(logging.WARNING)
