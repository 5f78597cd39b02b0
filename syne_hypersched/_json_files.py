"""Reads JSON files, which another program may have left incomplete, and writes configurations with any values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_object(path: Path) -> dict[str, Any] | None:
    """The object in a file; None if the file does not exist, cannot be read or contains no object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def write_config(path: Path, config: Mapping[str, Any]) -> None:
    """Writes a configuration in a form that a script can read.

    NumPy numbers and arrays become numbers and lists. A value that JSON does not support becomes the text that the
    script would get as an argument. So a path is the same in both.

    Parameters
    ----------
    path
        The file.
    config
        The configuration.
    """
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file, default=plain_value)


def plain_value(value: object) -> object:
    """The JSON value that is written for a value that JSON does not support."""
    as_list = getattr(value, "tolist", None)  # NumPy values have it; this avoids importing NumPy
    return str(value) if as_list is None else as_list()
