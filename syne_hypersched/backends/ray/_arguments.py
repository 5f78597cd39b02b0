"""What is checked before a backend is made."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping


def find_ray() -> None:
    """Looks whether Ray is installed, without importing it here.

    Raises
    ------
    ModuleNotFoundError
        It is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise ModuleNotFoundError("No module named 'ray'", name="ray")


def variables(env_vars: object) -> dict[str, str]:
    """Environment variables as they were given.

    Raises
    ------
    TypeError
        They are none.
    """
    if not isinstance(env_vars, Mapping) or not all(
        isinstance(text, str) for item in env_vars.items() for text in item
    ):
        raise TypeError(f"env_vars must map names of variables to texts, but got {env_vars!r}")
    return dict(env_vars)
