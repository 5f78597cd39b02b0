"""What is checked before a backend is made."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from pathlib import Path

from syne_hypersched import checks
from syne_hypersched.backends.ray._url_store import UrlStore


def find_ray() -> None:
    """Looks whether Ray is installed, without importing it here.

    Raises
    ------
    ModuleNotFoundError
        It is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise ModuleNotFoundError("No module named 'ray'", name="ray")


def address_of(address: object) -> str:
    """Checks the address of a cluster.

    Raises
    ------
    TypeError, ValueError
        It is no address that the tuner can use.
    """
    found = checks.text("address", address)
    if "://" in found:
        raise ValueError(
            f"address must be HOST:PORT of a cluster's head, or 'auto', but got {found!r}: through a Ray Client the "
            "tuner is no node of the cluster. Run it on one, such as the head"
        )
    if found == "local":
        raise ValueError(
            "address must be HOST:PORT of a cluster's head, or 'auto', but got 'local', which starts a cluster: on one "
            "machine use ElasticLocalBackend"
        )
    return found


def variables(env_vars: object) -> dict[str, str]:
    """Checks environment variables.

    Raises
    ------
    TypeError
        They are not a dictionary of environment variables.
    """
    if not isinstance(env_vars, Mapping) or not all(
        isinstance(text, str) for item in env_vars.items() for text in item
    ):
        raise TypeError(f"env_vars must map names of variables to texts, but got {env_vars!r}")
    return dict(env_vars)


def folders_of(
    checkpoint_path: str | Path | None, node_path: str | Path | None, pass_args_as_json: bool
) -> tuple[Path | None, Path | None, str | None]:
    """Where checkpoints are: the folder that nodes share, the one on each node's disk, and a URL.

    Raises
    ------
    TypeError, ValueError
        One is no path of a folder, or both are given, or one of them with configurations in files on the tuner's disk;
        or the URL is none that can be used.
    """
    url = None
    if isinstance(checkpoint_path, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", checkpoint_path):
        url, checkpoint_path = checkpoint_path, None
        UrlStore(url, "")
    if checkpoint_path is not None and node_path is not None:
        raise ValueError(
            f"node_path must be None with a checkpoint_path, which all nodes share, but got {str(node_path)!r}"
        )
    if pass_args_as_json and (url or checkpoint_path is not None or node_path is not None):
        raise ValueError(
            "pass_args_as_json must be False with a checkpoint_path or node_path, since configurations are on the "
            "tuner's disk"
        )
    given = {"checkpoint_path": checkpoint_path, "node_path": node_path}
    shared, own = (None if at is None else Path(os.path.abspath(checks.folder(name, at))) for name, at in given.items())
    return shared, own, url
