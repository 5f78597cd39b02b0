"""The tables of the PASHA paper (Bohdal et al., ICLR 2023) on NASBench201, with its protocol.

Four workers search among 256 configurations. A run ends when one more trial would start, and its time ends there, too.
The configuration with the best single report is then looked up in the table at its best epoch, as if it had been
trained to the end. "Resource" is the number of epochs of the trial that was trained longest. Runs are repeated for each
seed of the scheduler and each repetition in the table.

The real table is used if Syne Tune's blackbox repository has a local copy (see syne_hypersched.blackboxes.
load_from_repository). Otherwise, the synthetic stand-in is used. The title of every table tells which one was used.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from syne_hypersched.blackboxes import TableBlackbox, load_from_repository, synthetic_nasbench201
from syne_hypersched.comparison.benchmarks import last_level
from syne_hypersched.schedulers import ASHA, PASHA
from syne_hypersched.simulation import simulate

DATASETS = ("cifar10", "cifar100", "ImageNet16-120")
METRIC = "metric_valid_error"
NUM_WORKERS = 4
KINDS = ("schedulers", "reduction_factors", "ranking_criteria", "bayesian_search")

#: PASHA's ranking criteria with the parameters of the paper. Epsilons refer to an error between 0 and 1.
CRITERIA: dict[str, dict[str, Any]] = {
    "noise-adaptive soft ranking (default)": {},
    "direct ranking": {"ranking_criterion": "direct"},
    "soft ranking, epsilon 0.025": {"ranking_criterion": "soft_ranking", "ranking_kwargs": {"epsilon": 0.025}},
    "soft ranking, 2 std": {"ranking_criterion": "soft_ranking_std", "ranking_kwargs": {"scale": 2.0}},
    "soft ranking, mean distance": {"ranking_criterion": "soft_ranking_mean_dst"},
    "RBO, p=0.5, t=0.5": {"ranking_criterion": "rbo", "ranking_kwargs": {"p": 0.5, "threshold": 0.5}},
    "RRR, p=0.5, t=0.05": {"ranking_criterion": "rrr", "ranking_kwargs": {"p": 0.5, "threshold": 0.05}},
    "ARRR, p=0.5, t=0.05": {"ranking_criterion": "arrr", "ranking_kwargs": {"p": 0.5, "threshold": 0.05}},
}

Make = Callable[[TableBlackbox, int], Any]


@functools.cache
def nb201_blackbox(dataset: str) -> tuple[TableBlackbox, str]:
    """The table of a data set, and its name in titles."""
    try:
        return load_from_repository("nasbench201", dataset), f"NASBench201 {dataset}"
    except (ImportError, FileNotFoundError):
        return synthetic_nasbench201(dataset), f"SYNTHETIC stand-in for NASBench201 {dataset}"


@dataclass(frozen=True)
class TableSearch:
    """The result of one run of one method."""

    accuracy: float
    hours: float
    resource: int


def search(scheduler: Any, table: TableBlackbox, table_seed: int, num_configs: int) -> TableSearch:
    """Runs a scheduler, then looks up the configuration of its best report at its best epoch."""
    best: tuple[float, int] = (np.inf, -1)
    resource = 0
    configs: dict[int, dict[str, Any]] = {}

    def watch(trial: Any, result: dict[str, Any], decision: str) -> None:
        nonlocal best, resource
        configs.setdefault(trial.trial_id, trial.config)
        best = min(best, (result[METRIC], trial.trial_id))
        resource = max(resource, result[table.time_attr])

    simulation = simulate(
        scheduler, table, num_devices=NUM_WORKERS, max_num_trials=num_configs, seed=table_seed, on_result=watch
    )
    return TableSearch(best_accuracy(table, configs[best[1]], table_seed), simulation.end_s / 3600, resource)


def best_accuracy(table: TableBlackbox, config: dict[str, Any], table_seed: int) -> float:
    """Accuracy of a configuration at its best epoch, in percent."""
    return 100 * (1 - min(float(report[METRIC]) for report in table.learning_curve(config, seed=table_seed).reports))


def _make(scheduler_class: type, max_t: float | None = None, **kwargs: Any) -> Make:
    def make(table: TableBlackbox, seed: int) -> Any:
        end = last_level(table) if max_t is None else max_t
        return scheduler_class(
            table.configuration_space,
            METRIC,
            table.time_attr,
            end,
            **({"reduction_factor": 3} | kwargs),
            random_seed=seed,
        )

    return make


def methods(kind: str) -> dict[str, Make]:
    """The methods of a table; speed-ups are relative to the first one.

    Raises
    ------
    ValueError
        There is no such table.
    """
    if kind == "schedulers":
        return {
            "ASHA": _make(ASHA, type="promotion"),
            "PASHA": _make(PASHA),
            "one epoch": _make(ASHA, max_t=1),
            "random": _make(ASHA),
        }
    if kind == "reduction_factors":
        rows = {}
        for eta in (2, 3, 4):
            rows[f"ASHA, eta {eta}"] = _make(ASHA, type="promotion", reduction_factor=eta)
            rows[f"PASHA, eta {eta}"] = _make(PASHA, reduction_factor=eta)
        return rows
    if kind == "ranking_criteria":
        return {"ASHA": _make(ASHA, type="promotion")} | {
            f"PASHA, {name}": _make(PASHA, **kwargs) for name, kwargs in CRITERIA.items()
        }
    if kind == "bayesian_search":
        return {
            "ASHA": _make(ASHA, type="promotion"),
            "ASHA + TPE": _make(ASHA, type="promotion", searcher="kde"),
            "PASHA": _make(PASHA),
            "PASHA + TPE": _make(PASHA, searcher="kde"),
        }
    raise ValueError(f"kind must be one of {', '.join(map(repr, KINDS))}, but got {kind!r}")


def run_table(
    kind: str,
    datasets: Sequence[str] = DATASETS,
    scheduler_seeds: Sequence[int] = tuple(range(5)),
    table_seeds: Sequence[int] = (0, 1, 2),
    num_configs: int = 256,
) -> pd.DataFrame:
    """One table of the paper.

    Parameters
    ----------
    kind
        One of :const:`KINDS`.
    datasets, scheduler_seeds, table_seeds
        Every combination is run.
    num_configs
        Number of configurations that a run tries.

    Returns
    -------
    pandas.DataFrame
        One row for each data set and method, with the columns ``table`` (its title), ``method``, ``accuracy`` (%),
        ``hours``, ``speed_up`` (over the first method with the same data set, by mean hours) and ``resource`` (epochs).
        The first, second and fourth have ``_std`` columns, over all seeds.
    """
    rows = []
    for dataset in datasets:
        table, title = nb201_blackbox(dataset)
        seeds = [seed for seed in table_seeds if seed < table.num_seeds]
        baseline_hours = 0.0
        for name, make in methods(kind).items():
            outcomes = []
            for seed in scheduler_seeds:
                for table_seed in seeds:
                    random.seed(seed)
                    np.random.seed(seed)
                    scheduler = make(table, seed)
                    if name == "random":
                        config = scheduler.suggest().config
                        outcomes.append(TableSearch(best_accuracy(table, config, table_seed), 0.0, 0))
                    else:
                        outcomes.append(search(scheduler, table, table_seed, num_configs))
            accuracy, hours, resource = (
                np.array(column, dtype=float) for column in zip(*map(_numbers, outcomes), strict=True)
            )
            if name.startswith("ASHA") and "+" not in name:
                baseline_hours = hours.mean()
            rows.append(
                {
                    "table": title,
                    "method": name,
                    "accuracy": accuracy.mean(),
                    "accuracy_std": accuracy.std(),
                    "hours": hours.mean(),
                    "hours_std": hours.std(),
                    "speed_up": baseline_hours / hours.mean() if hours.mean() else np.nan,
                    "resource": resource.mean(),
                    "resource_std": resource.std(),
                }
            )
    return pd.DataFrame(rows)


def _numbers(outcome: TableSearch) -> tuple[float, float, float]:
    return outcome.accuracy, outcome.hours, outcome.resource
