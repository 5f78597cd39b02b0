"""What real runs cost beside the table with their learning curves, and a simulation that is told of it.

A table has the seconds of an epoch, measured alone on a core. A real epoch also has a checkpoint, a report and a tuner
that reads it, and on a busy machine all of it takes longer. A launch is slower, too, and the first one waits for the
imports of the script.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from syne_hypersched import LaunchCost, simulate
from syne_hypersched.blackboxes import TableBlackbox
from syne_hypersched.comparison.benchmarks import Benchmark
from syne_hypersched.comparison.schedulers import SchedulerSpec, make_scheduler
from syne_hypersched.experiments import load_run
from syne_hypersched.replay import RunCurves, run_curves


@dataclass(frozen=True)
class RealCosts:
    """Costs of real runs, each a median or a fit over all of them."""

    wait_s: float
    """Seconds until the first launch."""
    start_s: float
    """Seconds that the launch of a new trial costs."""
    resume_s: float
    """Seconds that the launch of a trial that goes on costs."""
    factor: float
    """How many times as long as in the table an epoch takes..."""
    epoch_s: float
    """... and the seconds that every epoch takes besides."""

    def __str__(self) -> str:
        return (
            f"{self.wait_s:.1f} s pass until the first launch, a launch costs {self.start_s:.2f} s, that of a paused "
            f"trial {self.resume_s:.2f} s, and an epoch takes {self.factor:.1f} times as long as in the table and "
            f"{self.epoch_s:.3f} s"
        )


def measured_costs(paths: Iterable[Path], table: TableBlackbox) -> RealCosts:
    """Costs of finished runs with configurations of a table's space.

    Parameters
    ----------
    paths
        Folders of the runs.
    table
        The table. A configuration that is none of its rows has the times of the nearest one.

    Raises
    ------
    ValueError
        No run has trials with two reports.
    """
    found: list[RunCurves] = []
    pairs: list[tuple[float, float]] = []
    waits: list[float] = []
    for path in paths:
        run = load_run(path)
        if run.incumbent is None:
            continue  # the deadline came before the first report
        known = run_curves(run)
        found.append(known)
        waits.append((run.deadline_s or known.deadline_s) - known.deadline_s)
        for curve in known.curves:
            if len(curve.levels) > 1:
                in_table = table.learning_curve((run.configs or {})[curve.trial_id]).epoch_s
                # The first epoch of a launch is not measured apart from the launch.
                pairs.append((median(in_table[: len(curve.levels)]), median(curve.seconds[1:])))
    if not pairs:
        raise ValueError("paths must have runs with trials that have reported twice, but there are none")
    factor, epoch_s = _line(pairs)
    starts, resumes = ([getattr(known, name) for known in found] for name in ("start_s", "resume_s"))
    return RealCosts(median(waits), median(starts), median(resumes), factor, epoch_s)


def _line(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The slope and the intercept that fit pairs best, of which neither is negative."""
    in_table, real = np.array(pairs).T
    slope, intercept = np.linalg.lstsq(np.column_stack([in_table, np.ones_like(in_table)]), real, rcond=None)[0]
    if intercept < 0 or slope < 0:
        return float((in_table @ real) / (in_table @ in_table)), 0.0
    return float(slope), float(intercept)


def with_costs(table: TableBlackbox, costs: RealCosts) -> TableBlackbox:
    """The same learning curves, with the seconds of real epochs."""
    curves = [table.objective_function(config) for config in table.configurations]
    values = np.stack([np.asarray(curve) for curve in curves])
    levels = np.arange(1, values.shape[1] + 1)
    return TableBlackbox(
        table.configurations,
        {name: values[:, :, number] for number, name in enumerate(table.metrics)},
        costs.factor * values[:, :, -1] + costs.epoch_s * levels,
        levels=table.levels,
        configuration_space=table.configuration_space,
        time_attr=table.time_attr,
        elapsed_time_attr=table.elapsed_time_attr,
        name=f"{table.name} with the costs of real runs",
    )


def predicted(
    benchmark: Benchmark,
    costs: RealCosts,
    schedulers: Sequence[str],
    deadlines_s: dict[str, float],
    num_seeds: int,
    num_devices: int,
) -> pd.DataFrame:
    """Simulated runs in which launches and epochs cost what they did in real ones; no trial is resized.

    Parameters
    ----------
    benchmark
        The table and its metric.
    costs
        The costs.
    schedulers, num_seeds, num_devices
        As in the real runs.
    deadlines_s
        The deadlines by their names, from the start of the tuner.

    Returns
    -------
    DataFrame
        A row for each scheduler, deadline and seed, with ``value``, ``num_trials`` and ``num_reports``.
    """
    real = Benchmark(benchmark.name, with_costs(benchmark.table, costs), benchmark.metric, benchmark.do_minimize)
    launch_cost = LaunchCost(start_s=costs.start_s, resume_s=costs.resume_s)
    rows = []
    for name, deadline, seed in product(schedulers, deadlines_s, range(num_seeds)):
        spec, left_s = SchedulerSpec.parse(name), deadlines_s[deadline] - costs.wait_s
        if left_s <= 0:
            continue
        random.seed(seed)
        np.random.seed(seed)
        points = real.points(seed, num_devices, left_s, None, whole=spec.searcher == "joint")
        scheduler = make_scheduler(spec, real.problem, seed, num_devices, left_s, points)
        simulation = simulate(
            scheduler, real.table, num_devices=num_devices, deadline_s=left_s, scaling="none", launch_cost=launch_cost
        )
        rows.append(
            {
                "benchmark": benchmark.name, "scheduler": name, "deadline": deadline, "seed": seed,
                "value": simulation.best(benchmark.metric, benchmark.do_minimize),
                "num_trials": simulation.num_trials, "num_reports": simulation.num_results,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)
