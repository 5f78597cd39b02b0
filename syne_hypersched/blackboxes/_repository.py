"""Loads blackboxes of Syne Tune's repository (NASBench201, LCBench, FCNet, PD1...), from a copy or the network."""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np

from syne_hypersched import checks
from syne_hypersched.blackboxes._table import TableBlackbox

FOLDER_VARIABLE = "SYNE_HYPERSCHED_BLACKBOXES"
"""Environment variable with the path of a copy of the repository. The copy has one folder for each blackbox."""

_CONNECT_TIMEOUT_S = 5.0

#: Objectives that describe a configuration and are not metrics of its training.
_NO_METRICS = ("metric_runtime", "metric_latency", "metric_flops", "metric_params")


def load_from_repository(name: str, dataset: str | None = None, path: str | Path | None = None) -> TableBlackbox:
    """Loads a tabular blackbox of Syne Tune's repository with Syne Tune's own functions.

    Parameters
    ----------
    name
        Name in the repository, such as ``"nasbench201"``, ``"lcbench"``, ``"fcnet"`` or ``"pd1"``.
    dataset
        The data set, such as ``"cifar10"``. Not needed if there is only one.
    path
        Folder that contains the folder ``name``. Default: the value of the environment variable
        ``SYNE_HYPERSCHED_BLACKBOXES`` if it is set, otherwise Syne Tune's own folder ``~/.blackbox-repository``. A
        missing blackbox is downloaded to Syne Tune's folder.

    Returns
    -------
    TableBlackbox
        All metrics, and as seconds the elapsed time that the repository names.

    Raises
    ------
    ImportError
        A library that Syne Tune needs for this is missing (extra ``benchmarks``).
    FileNotFoundError
        There is no local copy, and it cannot be downloaded; the message tells what to do.
    TypeError
        ``name`` is not a string, or ``path`` is not a path.
    ValueError
        The blackbox or the data set does not exist, or is not a table of learning curves.
    """
    checks.text("name", name)
    if path is not None:
        path = checks.folder("path", path)
    try:
        repository = importlib.import_module("syne_tune.blackbox_repository.repository")
        importlib.import_module("fastparquet")
    except ImportError as error:
        raise ImportError(
            f"Blackboxes of Syne Tune's repository need {error.name}: pip install 'syne-hypersched[benchmarks]'"
        ) from error
    if name not in repository.blackbox_list():
        raise ValueError(f"name must be one of {', '.join(repository.blackbox_list())}, but got {name!r}")
    given = path if path is not None else os.environ.get(FOLDER_VARIABLE)
    folder = Path(repository.repository_path if given is None else given) / name
    if not (folder / "metadata.json").is_file():
        if given is not None:
            raise FileNotFoundError(
                f"{name!r} must be in {folder}, but there is no metadata.json. Copy the folder from "
                f"~/.blackbox-repository/{name} of a machine where Syne Tune has loaded it"
            )
        _download(repository, name)
    if name.startswith("pd1"):
        blackboxes = repository.deserialize_pd1(folder)
    elif (folder / "hyperparameters.parquet").is_file():
        blackboxes = repository.deserialize_tabular(folder)
    else:
        raise ValueError(f"name must be that of a table of learning curves, which {name!r} is not")
    metadata = importlib.import_module("syne_tune.blackbox_repository.serialize").deserialize_metadata(folder)
    return _to_table(name, _choose(name, dataset, blackboxes), metadata)


def _download(repository: Any, name: str) -> None:
    """Downloads a blackbox to Syne Tune's folder. Fails soon without a network; the error tells what to do."""
    constants = importlib.import_module("huggingface_hub.constants")
    address = urlparse(constants.ENDPOINT)
    offline = bool(constants.HF_HUB_OFFLINE)
    try:
        if offline:
            raise OSError("HF_HUB_OFFLINE is set")
        socket.create_connection((address.hostname, address.port or 443), timeout=_CONNECT_TIMEOUT_S).close()
        repository.load_blackbox(name)
    except Exception as error:
        # Each of the libraries used for the download has its own error classes.
        command = f"from syne_tune.blackbox_repository import load_blackbox; load_blackbox({name!r})"
        raise FileNotFoundError(
            f"{name!r} is not in {repository.repository_path} and cannot be downloaded ({error}). On a machine with a "
            f'network run: python -c "{command}", '
            f"then copy ~/.blackbox-repository/{name} here, or name the folder that holds it in {FOLDER_VARIABLE}. "
            "For NASBench201 there is a synthetic stand-in: syne_hypersched.blackboxes.synthetic_nasbench201"
        ) from error


def _choose(name: str, dataset: str | None, blackboxes: Any) -> tuple[str, Any]:
    if not isinstance(blackboxes, Mapping):
        return name, blackboxes
    if dataset is None and len(blackboxes) == 1:
        return name, next(iter(blackboxes.values()))
    if dataset not in blackboxes:
        raise ValueError(f"dataset must be one of {', '.join(map(repr, blackboxes))} for {name!r}, but got {dataset!r}")
    return f"{name}:{dataset}", blackboxes[dataset]


def _to_table(name: str, chosen: tuple[str, Any], metadata: Mapping[str, Any]) -> TableBlackbox:
    title, blackbox = chosen
    elapsed_time_attr = metadata.get("metric_elapsed_time", "metric_elapsed_time")
    names = list(blackbox.objectives_names)
    if elapsed_time_attr not in names:
        raise ValueError(f"{name!r} must have the objective {elapsed_time_attr!r}, but has {', '.join(names)}")
    values = blackbox.objectives_evaluations
    # 32-bit sums of epoch times may stay constant, or decrease, in the last digit.
    elapsed_s = np.maximum.accumulate(values[..., names.index(elapsed_time_attr)].astype(np.float64), axis=2)
    metrics = [metric for metric in names if metric != elapsed_time_attr and metric not in _NO_METRICS]
    rows = blackbox.hyperparameters.to_dict(orient="records")
    known = [bool(np.isfinite(times).any()) for times in elapsed_s]
    return TableBlackbox(
        [row for row, is_known in zip(rows, known, strict=True) if is_known],
        {metric: values[..., names.index(metric)][known] for metric in metrics},
        elapsed_s[known],
        levels=[float(level) for level in blackbox.fidelity_values],
        configuration_space={key: blackbox.configuration_space[key] for key in rows[0]},
        time_attr=blackbox.fidelity_name(),
        elapsed_time_attr=elapsed_time_attr,
        name=title,
        description=f"{title} of Syne Tune's blackbox repository",
    )
