"""What a tuner notes of its scheduler, for a backend that the scheduler tells nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from syne_tune.constants import ST_METADATA_FILENAME


class NotedObjective(NamedTuple):
    """By which entry of the reports trials are compared."""

    metric: str
    do_minimize: bool
    time_attr: str | None
    """The resource level; None: the scheduler has none."""


def objective_of(experiment: Path) -> NotedObjective | None:
    """The objective of a tuning; None if it is not known, or if there are several."""
    try:
        metadata = json.loads((experiment / ST_METADATA_FILENAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    names, mode = _entry(metadata, "metric_names"), _entry(metadata, "metric_mode")
    mode = mode[0] if isinstance(mode, list) and mode else mode
    if not (isinstance(names, list) and len(names) == 1 and isinstance(names[0], str)) or mode not in ("min", "max"):
        return None
    time_attr = _entry(_entry(metadata, "scheduler_kwargs"), "time_attr")
    return NotedObjective(names[0], mode == "min", time_attr if isinstance(time_attr, str) else None)


def _entry(values: Any, name: str) -> Any:
    return values.get(name) if isinstance(values, dict) else None
