"""JSON files, which another program may have left half written, and configurations of any values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_object(path: Path) -> dict[str, Any] | None:
    """The object in a file; None if there is no such file, or if it cannot be read or holds no object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def write_config(path: Path, config: Mapping[str, Any]) -> None:
    """Writes a configuration as a script may read it.

    NumPy's numbers and arrays become numbers and lists. What JSON does not know becomes the text that the script would
    be given as an argument, so that a path is the same in both.

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
    """What is written for a value that JSON does not know."""
    as_list = getattr(value, "tolist", None)  # of NumPy, which is not imported for this
    return str(value) if as_list is None else as_list()
