"""Tables of real learning curves that are not part of the project, if a copy exists.

The environment variable SYNE_HYPERSCHED_DATA names the folder of the copy. In a repository, the default is
``../shared/data`` beside the repository. If the folder exists, the names in :func:`shared_tables` are benchmarks.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from syne_hypersched.blackboxes import TableBlackbox, read_table
from syne_hypersched.comparison.repository import repository

FOLDER_VARIABLE = "SYNE_HYPERSCHED_DATA"
LCBENCH_DATASETS = ("Fashion-MNIST", "adult", "connect-4", "covertype", "segment", "volkert")

#: Our names of TaskSet's tasks, with the original names.
TASKSET_TASKS = {
    "lstm-average": "imdb_patch128_LSTM128_avg_bs64",
    "lstm": "imdb_patch128_LSTM128_bs64",
    "lstm-embedding": "imdb_patch128_LSTM128_embed128_bs64",
    "gru": "imdb_patch32_GRU128_bs128",
}


@dataclass(frozen=True)
class _PerformanceTask:
    """A table of the Neural Network Performance Prediction Dataset."""

    file: str
    description: str
    hyperparameters: tuple[str, ...]
    metric: str
    do_minimize: bool
    epochs: range


PERFORMANCE_TASKS = {
    "metaqnn": _PerformanceTask(
        "metaqnn_cifar10", "CNNs of MetaQNN on CIFAR-10", ("num_params", "depth", "lr"), "val_acc", False, range(1, 21)
    ),
    # Every fifth of 500 epochs, so that a curve has as many levels as the others.
    "alexnet": _PerformanceTask(
        "alexnet_imagenet", "AlexNets on a tenth of ImageNet", ("lr", "ss"), "val_acc", False, range(5, 501, 5)
    ),
    "lstm": _PerformanceTask(
        "lstm_ptb", "280 LSTMs on Penn Treebank", ("n_layers", "n_inputs"), "perplexity", True, range(1, 60)
    ),
}


@dataclass(frozen=True)
class SharedTable:
    """A table and the metric to optimise."""

    description: str
    load: Callable[[], TableBlackbox]
    metric: str
    do_minimize: bool


def data_folder() -> Path | None:
    """The folder of the tables; None if there is no repository and the variable is not set."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named is not None:
        return Path(named)
    root = repository()
    return None if root is None else root.parent / "shared" / "data"


def shared_tables() -> Mapping[str, SharedTable]:
    """The available tables by name; empty if the folder does not exist."""
    folder = data_folder()
    tables: dict[str, SharedTable] = {}
    if folder is None:
        return tables
    if (folder / "cnn_cifar10_265").is_dir():
        tables["cnn-cifar10"] = SharedTable(
            "265 runs of a small CNN on CIFAR-10, real times", functools.partial(_read_cnn, folder), "val_error", True
        )
    if (folder / "lcbench_surrogate").is_dir():
        for dataset in LCBENCH_DATASETS:
            tables[f"lcbench-surrogate-{dataset}"] = SharedTable(
                f"1,000 MLPs on {dataset}, from the LCBench surrogate of YAHPO Gym",
                functools.partial(_read_lcbench, folder, dataset),
                "val_accuracy",
                False,
            )
    if (folder / "spikenas_bench").is_dir():
        tables["spikenas-cifar10"] = SharedTable(
            "14,935 spiking networks on CIFAR-10", functools.partial(_read_spikenas, folder), "val_acc", False
        )
    if (folder / "taskset_imdb_rnn").is_dir():
        for name, task in TASKSET_TASKS.items():
            tables[f"taskset-{name}"] = SharedTable(
                f"1,000 optimisers of {task}, from TaskSet, without times: an evaluation takes a second",
                functools.partial(_read_taskset, folder, name, task),
                "valid_loss",
                True,
            )
    if (folder / "nn_performance_prediction").is_dir():
        for name, networks in PERFORMANCE_TASKS.items():
            tables[f"performance-{name}"] = SharedTable(
                f"{networks.description}, without times: an epoch takes a second",
                functools.partial(_read_performance, folder, name, networks),
                networks.metric,
                networks.do_minimize,
            )
    return tables


def _read_taskset(folder: Path, name: str, task: str) -> TableBlackbox:
    """The evaluations after the start. Each evaluation comes after 200 training steps."""
    path = folder / "taskset_imdb_rnn"
    configs = pd.read_parquet(path / "configs.parquet").set_index("config_id")
    curves = pd.read_parquet(path / "curves.parquet", columns=["task", "config_id", "eval", "valid_loss"])
    curves = curves[(curves.task == task) & (curves["eval"] > 0)]
    losses = curves.pivot(index="config_id", columns="eval", values="valid_loss").loc[configs.index]
    return _without_times(f"taskset-{name}", configs, {"valid_loss": losses.to_numpy(dtype=float)})


def _read_performance(folder: Path, name: str, task: _PerformanceTask) -> TableBlackbox:
    path = folder / "nn_performance_prediction"
    configs = pd.read_parquet(path / f"{task.file}_configs.parquet").set_index("config_id")
    configs = configs[list(task.hyperparameters)]
    configs = configs[~configs.duplicated()]
    curves = pd.read_parquet(path / f"{task.file}_curves.parquet", columns=["config_id", "epoch", task.metric])
    curves = curves[curves.epoch.isin(task.epochs)]
    values = curves.pivot(index="config_id", columns="epoch", values=task.metric).loc[configs.index]
    return _without_times(f"performance-{name}", configs, {task.metric: values.to_numpy(dtype=float)})


def _without_times(name: str, configs: pd.DataFrame, metrics: Mapping[str, npt.NDArray[np.float64]]) -> TableBlackbox:
    """A table whose source has no times. Each level is assumed to take one second."""
    shape = next(iter(metrics.values())).shape
    seconds = np.broadcast_to(np.arange(1.0, shape[1] + 1), shape)
    return TableBlackbox(configs.to_dict(orient="records"), metrics, seconds, name=name)


def _read_cnn(folder: Path) -> TableBlackbox:
    path = folder / "cnn_cifar10_265"
    return read_table(
        path / "curves.parquet",
        configs_path=path / "configs.parquet",
        configuration=["batch_size", "log10_learning_rate", *(f"log2_n_units_{layer}" for layer in (1, 2, 3))],
        name="cnn-cifar10",
    )


def _read_lcbench(folder: Path, dataset: str) -> TableBlackbox:
    path = folder / "lcbench_surrogate"
    return read_table(
        path / "curves.parquet",
        configs_path=path / "configs.parquet",
        where={"dataset": dataset},
        name=f"lcbench-surrogate-{dataset}",
    )


def _read_spikenas(folder: Path) -> TableBlackbox:
    """The networks that were trained for 100 epochs. An epoch takes a hundredth of the time of the run."""
    path = folder / "spikenas_bench"
    networks = pd.read_parquet(path / "cifar10_archs.parquet")
    networks = networks[networks.n_epochs == 100].sort_values("arch_id")
    curves = pd.read_parquet(path / "cifar10_curves.parquet", columns=["arch_id", "epoch", "val_acc"])
    accuracy = curves.pivot(index="arch_id", columns="epoch", values="val_acc").loc[networks.arch_id]
    epochs = range(1, 101)
    edges = [column for column in networks if column.startswith("edge_")]
    seconds = networks.elapsed_s.to_numpy(dtype=float)[:, None] * [epoch / 100 for epoch in epochs]
    return TableBlackbox(
        networks[edges].to_dict(orient="records"),
        {"val_acc": accuracy[list(epochs)].to_numpy()},
        seconds,
        # Searchers may propose networks that the table lacks: those that were trained for 200 epochs.
        lookup="nearest",
        name="spikenas-cifar10",
    )
