"""What a tuner has stored about its scheduler in the folder of an experiment.

Syne Tune does not write ``metadata.json`` at once: a tuner may have died before it was whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from syne_tune.constants import ST_METADATA_FILENAME

from syne_hypersched._json_files import read_object


def read_metadata(folder: Path) -> dict[str, Any]:
    """The metadata of an experiment; empty if there are none, or if they cannot be read."""
    return read_object(folder / ST_METADATA_FILENAME) or {}


def scheduler_arguments(metadata: dict[str, Any]) -> dict[str, Any]:
    """The arguments with which the scheduler was made, as far as it has stored them."""
    arguments = metadata.get("scheduler_kwargs")
    return arguments if isinstance(arguments, dict) else {}
