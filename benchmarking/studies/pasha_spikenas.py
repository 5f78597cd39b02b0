"""PASHA against ASHA on the learning curves of SpikeNAS-Bench (CIFAR-10), with the protocol of the PASHA paper.

    python benchmarking/studies/pasha_spikenas.py
    python benchmarking/studies/pasha_spikenas.py --seeds 3 --reduction-factor 4

Four workers search among the 14,935 networks that were trained for 100 epochs. A run ends when the 257th trial would
start; its time is the time until then. The configuration with the best single report is then read in the table at its
best epoch, as if it were trained to the end. "one epoch" trains every configuration for one epoch; "random" takes the
first configuration and trains none. "Resource used" is the number of epochs of the trial that was trained longest.

The data lie in ``spikenas_bench`` under the folder that SYNE_HYPERSCHED_DATA names, by default ``../shared/data``
beside the repository.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from syne_tune.config_space import randint

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from syne_hypersched import simulate
from syne_hypersched.blackboxes import LearningCurve
from syne_hypersched.comparison.shared_tables import data_folder
from syne_hypersched.schedulers import ASHA, PASHA

MAX_T = 100
NUM_WORKERS = 4
NUM_TRIALS = 256


class SpikeNASBench:
    """Validation accuracy, in percent, of networks trained for 100 epochs, ``{"network": index}`` as configurations."""

    elapsed_time_attr = "elapsed_s"

    def __init__(self, folder: Path, dataset: str) -> None:
        networks = (
            pd.read_parquet(folder / f"{dataset}_archs.parquet").query("n_epochs == @MAX_T").sort_values("arch_id")
        )
        curves = pd.read_parquet(folder / f"{dataset}_curves.parquet", columns=["arch_id", "epoch", "val_acc"])
        curves = curves.pivot(index="arch_id", columns="epoch", values="val_acc").loc[networks.arch_id]
        self.accuracy = curves[list(range(1, MAX_T + 1))].to_numpy(dtype=float)
        self._epoch_s = networks.elapsed_s.to_numpy(dtype=float) / MAX_T
        if np.isnan(self.accuracy).any():
            raise ValueError(f"{folder} lacks epochs of {dataset}")

    def __len__(self) -> int:
        return len(self.accuracy)

    def learning_curve(
        self, config: Mapping[str, Any], max_resource: float | None = None, seed: int = 0
    ) -> LearningCurve:
        accuracies = self.accuracy[config["network"]].tolist()
        reports = [{"accuracy": accuracy, "epoch": epoch} for epoch, accuracy in enumerate(accuracies, start=1)]
        return LearningCurve(reports, [float(self._epoch_s[config["network"]])] * MAX_T)

    def best_epoch_accuracy(self, config: dict[str, Any]) -> float:
        return float(self.accuracy[config["network"]].max())


@dataclass(frozen=True)
class NetworkSearch:
    """One run of one method."""

    accuracy: float
    hours: float
    resource: int


def search(make: Callable[[], Any], bench: SpikeNASBench) -> NetworkSearch:
    """Runs a scheduler and reads the configuration of its best report at its best epoch."""
    simulation = simulate(make(), bench, num_devices=NUM_WORKERS, max_num_trials=NUM_TRIALS)
    results = simulation.results
    network = results.config_network[results.accuracy.idxmax()]
    accuracy = bench.best_epoch_accuracy({"network": network})
    return NetworkSearch(accuracy, simulation.end_s / 3600, int(results.epoch.max()))


def untrained(make: Callable[[], Any], bench: SpikeNASBench) -> NetworkSearch:
    """Takes the first configuration that a scheduler suggests."""
    return NetworkSearch(bench.best_epoch_accuracy(make().suggest().config), 0.0, 0)


def methods(bench: SpikeNASBench, reduction_factor: float) -> dict[str, Callable[[int], NetworkSearch]]:
    """Each method of the table, as a function of the seed."""

    def scheduler(scheduler_class: type, seed: int, max_t: int = MAX_T, **kwargs: Any) -> Callable[[], Any]:
        space = {"network": randint(0, len(bench) - 1)}
        return lambda: scheduler_class(
            space, "accuracy", "epoch", max_t, False, reduction_factor=reduction_factor, random_seed=seed, **kwargs
        )

    return {
        "ASHA promotion": lambda seed: search(scheduler(ASHA, seed, type="promotion"), bench),
        "ASHA stopping": lambda seed: search(scheduler(ASHA, seed, type="stopping"), bench),
        "PASHA": lambda seed: search(scheduler(PASHA, seed), bench),
        "one epoch": lambda seed: search(scheduler(ASHA, seed, max_t=1), bench),
        "random": lambda seed: untrained(scheduler(ASHA, seed), bench),
    }


def mean_std(values: Sequence[float], digits: int) -> str:
    """Mean ± standard deviation over seeds."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.{digits}f} ± {spread:.{digits}f}"


def find_data() -> Path:
    """The folder of the tables, or an exit that says what is missing."""
    folder = data_folder()
    if folder is None or not (folder / "spikenas_bench").is_dir():
        sys.exit(f"there is no spikenas_bench in {folder}: set SYNE_HYPERSCHED_DATA to the folder that contains it")
    return folder / "spikenas_bench"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="cifar10", choices=["cifar10", "cifar100", "tinyimagenet"])
    parser.add_argument("--seeds", type=int, default=15, help="number of seeds")
    parser.add_argument("--reduction-factor", type=float, default=3)
    arguments = parser.parse_args()
    bench = SpikeNASBench(find_data(), arguments.dataset)
    print(f"{arguments.dataset}: {len(bench)} networks, {NUM_WORKERS} workers, {NUM_TRIALS} configurations, ", end="")
    print(f"reduction factor {arguments.reduction_factor:g}, {arguments.seeds} seeds\n")
    print(f"{'':16}{'accuracy %':>16}{'hours':>16}{'speed-up':>10}{'resource used':>16}{'seconds a run':>16}")
    baseline = None
    for name, method in methods(bench, arguments.reduction_factor).items():
        started = time.perf_counter()
        outcomes = [method(seed) for seed in range(arguments.seeds)]
        took_s = (time.perf_counter() - started) / arguments.seeds
        hours = statistics.mean(outcome.hours for outcome in outcomes)
        baseline = hours if baseline is None else baseline
        speed_up = f"{baseline / hours:.1f}" if hours else "-"
        accuracies, all_hours, resources = zip(
            *[(o.accuracy, o.hours, float(o.resource)) for o in outcomes], strict=True
        )
        print(
            f"{name:16}{mean_std(accuracies, 2):>16}{mean_std(all_hours, 1):>16}{speed_up:>10}"
            f"{mean_std(resources, 1):>16}{took_s:>16.2f}"
        )


if __name__ == "__main__":
    main()
