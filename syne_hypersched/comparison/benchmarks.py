"""Benchmarks by name: tables of learning curves with a metric."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from syne_hypersched.blackboxes import (
    TableBlackbox,
    load_digits,
    load_from_repository,
    read_table,
    synthetic_nasbench201,
    with_noise,
)
from syne_hypersched.comparison.names import unknown_name
from syne_hypersched.comparison.reading import RegretScale
from syne_hypersched.comparison.schedulers import Problem
from syne_hypersched.comparison.settings import TableFile
from syne_hypersched.comparison.shared_tables import shared_tables

TABLE = "table"
"""Name of the benchmark that is read from a user's own file."""

MOST_TRIALS = 1_000_000
"""Highest number of trials for which a run of a study gets configurations, even if its epochs are very short."""

NOISE = "+noise"
"""With this at the end of a name, noise is added to the values. Regret is computed from the values without noise."""
NOISE_SHARE = 0.05
"""Standard deviation of the noise, as a share of the difference between the best and the median configuration. In
tables of measured curves, good configurations scatter by 0.01 to 0.08 of it in the second half of their curves."""

NASBENCH201_DATASETS = ("cifar10", "cifar100", "ImageNet16-120")

#: Metric of the tables in Syne Tune's blackbox repository, and whether it is minimised.
_REPOSITORY_METRICS = {
    "nasbench201": ("metric_valid_error", True),
    "fcnet": ("metric_valid_loss", True),
    "lcbench": ("val_accuracy", False),
    "pd1": ("metric_valid_error_rate", True),
}


@dataclass(frozen=True)
class Benchmark:
    """A table of learning curves and the metric to optimise."""

    name: str
    table: TableBlackbox
    metric: str
    do_minimize: bool
    true_metric: str | None = None
    """The metric without noise, from which regret is computed; None if that is ``metric``."""

    @property
    def regret_metric(self) -> str:
        """The metric from which regret is computed."""
        return self.true_metric or self.metric

    @property
    def title(self) -> str:
        """The name, with the word "synthetic" if the curves were not measured."""
        return f"{self.name} (synthetic)" if self.table.is_synthetic else self.name

    @property
    def problem(self) -> Problem:
        """The problem that a scheduler receives."""
        table = self.table
        max_t = last_level(table)
        first_level = next((level for level in table.levels if level > 0), max_t)
        return Problem(
            table.configuration_space, self.metric, self.do_minimize, table.time_attr, max_t, float(first_level)
        )

    @property
    def full_run_s(self) -> float:
        """Seconds of a median full run on one device."""
        return float(self.table.full_run_s())

    def table_seed(self, seed: int) -> int:
        """The index of the repetition in the table that a seed uses."""
        return seed % self.table.num_seeds

    def regret_scale(self, seed: int) -> RegretScale:
        """The scale of regret in a run with this seed."""
        table, metric = self.table, self.regret_metric
        worst = _worst_at_first_level(self, self.table_seed(seed))
        best = table.best(metric, self.do_minimize, seed=self.table_seed(seed))
        return RegretScale(float(best), float(table.median_value(metric, self.do_minimize)), worst)

    def points(
        self, seed: int, num_devices: int, deadline_s: float, max_num_trials: int | None, whole: bool = False
    ) -> list[dict[str, Any]]:
        """Configurations for all trials that a run can start: the rows of the table, shuffled and repeated.

        Parameters
        ----------
        seed
            Determines the order; a longer list begins with the shorter one.
        num_devices, deadline_s, max_num_trials
            They limit the number of trials: each trial takes at least as long as the shortest first level in the table
            that takes any time, and no run starts more than :const:`MOST_TRIALS`.
        whole
            Whether all rows of the table are listed, even if a run cannot try all of them.
        """
        num_trials = MOST_TRIALS
        if (rounds := deadline_s / _shortest_s(self, self.table_seed(seed))) < MOST_TRIALS:
            num_trials = min(num_trials, num_devices * (1 + math.ceil(rounds)))
        if max_num_trials is not None:
            num_trials = min(num_trials, max_num_trials)
        random_state = np.random.RandomState(seed)
        rows = self.table.configurations
        if whole:
            num_trials = max(num_trials, len(rows))
        order: list[int] = []
        while len(order) < num_trials:
            order += random_state.permutation(len(rows)).tolist()
        return [rows[row] for row in order[:num_trials]]


def benchmark_names() -> dict[str, str]:
    """The benchmark names, with descriptions."""
    return {name: entry.description for name, entry in _entries().items()}


@functools.lru_cache(maxsize=4)
def load_benchmark(name: str, table: TableFile | None = None) -> Benchmark:
    """Loads a table, once in each process.

    Parameters
    ----------
    name
        One of :func:`benchmark_names`, or ``NAME:DATASET`` from Syne Tune's blackbox repository. With :const:`NOISE` at
        the end of the name, noise is added.
    table
        The file of the benchmark ``"table"``.

    Raises
    ------
    ValueError
        The name is unknown, the table lacks the metric, or the metric has no finite value.
    FileNotFoundError
        The data are missing; the message says where they are expected.
    """
    if name.endswith(NOISE):
        return _with_noise(load_benchmark(name.removesuffix(NOISE), table))
    entries = _entries()
    if name == TABLE:
        if table is None:
            raise ValueError("the benchmark 'table' needs a file: --table FILE --metric NAME --mode min|max")
        return _checked(Benchmark(Path(table.path).stem, _read_user_table(table), table.metric, table.do_minimize))
    if name not in entries:
        repository, _, dataset = name.partition(":")
        if repository not in _REPOSITORY_METRICS:
            raise unknown_name(
                "benchmark", name, (*entries, *(f"{known}:DATASET" for known in _REPOSITORY_METRICS), TABLE)
            )
        metric, do_minimize = _REPOSITORY_METRICS[repository]
        return _checked(Benchmark(name, load_from_repository(repository, dataset or None), metric, do_minimize))
    entry = entries[name]
    return _checked(Benchmark(name, entry.load(), entry.metric, entry.do_minimize))


def _with_noise(benchmark: Benchmark) -> Benchmark:
    scale = benchmark.regret_scale(0)
    true_metric = f"true_{benchmark.metric}"
    table = with_noise(benchmark.table, benchmark.metric, NOISE_SHARE * abs(scale.best - scale.median), true_metric)
    return replace(benchmark, name=table.name, table=table, true_metric=true_metric)


@dataclass(frozen=True)
class _Entry:
    description: str
    load: Callable[[], TableBlackbox]
    metric: str
    do_minimize: bool


@functools.cache
def _entries() -> Mapping[str, _Entry]:
    entries = {
        "digits": _Entry(
            "a small CNN on handwritten digits, measured by this project (embedded)", load_digits, "val_accuracy", False
        )
    }
    for dataset in NASBENCH201_DATASETS:
        entries[f"nasbench201-synthetic-{dataset}"] = _Entry(
            "synthetic stand-in for NASBench201, not measured",
            functools.partial(synthetic_nasbench201, dataset),
            "metric_valid_error",
            True,
        )
    for name, table in shared_tables().items():
        entries[name] = _Entry(table.description, table.load, table.metric, table.do_minimize)
    return entries


def _checked(benchmark: Benchmark) -> Benchmark:
    if benchmark.metric not in benchmark.table.metrics:
        raise unknown_name(f"metric of {benchmark.name}", benchmark.metric, benchmark.table.metrics)
    if not math.isfinite(benchmark.table.best(benchmark.metric, benchmark.do_minimize)):
        raise ValueError(
            f"the metric {benchmark.metric!r} of {benchmark.name} must have at least one finite value, but has none"
        )
    return benchmark


def last_level(table: TableBlackbox) -> float | int:
    """The highest resource level of a table; an ``int`` if it is integral."""
    level = float(table.levels[-1])
    return int(level) if level.is_integer() else level


def _at_level(table: TableBlackbox, level: float, table_seed: int, name: str) -> list[float]:
    """The finite values of a metric, or of the elapsed seconds, of all rows of a table at one level."""
    # learning_curve() would keep the whole curve of every row in memory.
    reports = [cast(dict[str, float], table.objective_function(row, level, table_seed)) for row in table.configurations]
    return [report[name] for report in reports if math.isfinite(report[name])]


@functools.lru_cache(maxsize=16)
def _worst_at_first_level(benchmark: Benchmark, table_seed: int) -> float:
    """Worst metric of the first level over all rows of a table, NaN if none is finite."""
    values = _at_level(benchmark.table, benchmark.table.levels[0], table_seed, benchmark.regret_metric)
    return (max if benchmark.do_minimize else min)(values, default=math.nan)


@functools.lru_cache(maxsize=16)
def _shortest_s(benchmark: Benchmark, table_seed: int) -> float:
    """Shortest time (s) of the first level that takes any: a baseline before training, at level 0, may take none."""
    table = benchmark.table
    for level in table.levels:
        seconds = [s for s in _at_level(table, level, table_seed, table.elapsed_time_attr) if s > 0]
        if seconds:
            return min(seconds)
    return math.inf


def _read_user_table(table: TableFile) -> TableBlackbox:
    return read_table(
        table.path,
        configuration=None if table.configuration is None else list(table.configuration),
        time_attr=table.time_attr,
        metrics=[table.metric],
        elapsed_time_attr=table.elapsed_time_attr,
        epoch_time_attr=table.epoch_time_attr,
        seed=table.seed_attr,
        configs_path=table.configs_path,
        config_id=table.config_id or "config_id",
        where=dict(table.where or ()),
    )
