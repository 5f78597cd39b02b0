"""Tables of real learning curves that are not part of the project, if there is a copy of them.

The environment variable SYNE_HYPERSCHED_DATA names the folder. In a repository, the default is ``../shared/data``
beside it. If the folder exists, the names in :func:`shared_tables` are benchmarks.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from syne_hypersched.blackboxes import TableBlackbox, read_table
from syne_hypersched.comparison.repository import repository

FOLDER_VARIABLE = "SYNE_HYPERSCHED_DATA"
LCBENCH_DATASETS = ("Fashion-MNIST", "adult", "connect-4", "covertype", "segment", "volkert")


@dataclass(frozen=True)
class SharedTable:
    """A table and the metric to optimise."""

    description: str
    load: Callable[[], TableBlackbox]
    metric: str
    do_minimize: bool


def data_folder() -> Path | None:
    """The folder of the tables; None without a repository if the variable is not set."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named is not None:
        return Path(named)
    root = repository()
    return None if root is None else root.parent / "shared" / "data"


def shared_tables() -> Mapping[str, SharedTable]:
    """The available tables by name; empty without the folder."""
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
    return tables


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
    """The networks that were trained for 100 epochs; an epoch takes a hundredth of the seconds of the run."""
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
        lookup="exact",
        name="spikenas-cifar10",
    )
