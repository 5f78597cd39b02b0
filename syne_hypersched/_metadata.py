"""Reads the data about the scheduler that a tuner has stored in the folder of an experiment.

Syne Tune writes ``metadata.json`` in several steps, so a tuner may have died before the file was whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from syne_tune.constants import ST_METADATA_FILENAME

from syne_hypersched._json_files import read_object


def read_metadata(folder: Path) -> dict[str, Any]:
    """The metadata of an experiment; empty if they do not exist or cannot be read."""
    return read_object(folder / ST_METADATA_FILENAME) or {}


def scheduler_arguments(metadata: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the scheduler, as far as they were stored."""
    arguments = metadata.get("scheduler_kwargs")
    return arguments if isinstance(arguments, dict) else {}
