"""Reads the scheduler's objective from the tuner's metadata, for schedulers that tell the backend nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from syne_tune.constants import ST_METADATA_FILENAME

from syne_hypersched._metadata import read_metadata, scheduler_arguments


class NotedObjective(NamedTuple):
    """The entry of the reports by which trials are compared."""

    metric: str
    do_minimize: bool
    time_attr: str | None
    """The resource level; None: the scheduler has none."""


class ObjectiveNote:
    """The objective of a tuning that may not have begun yet. The note is read again only when it is another one."""

    def __init__(self) -> None:
        self._read: tuple[Path, int, int, int] | None = None
        self._objective: NotedObjective | None = None

    def look(self, experiment: Path) -> NotedObjective | None:
        """The objective, see :func:`objective_of`."""
        try:
            found = os.stat(f"{experiment}/{ST_METADATA_FILENAME}")  # for each report: a Path takes longer than this
        except OSError:
            return None
        seen = experiment, found.st_ino, found.st_size, found.st_mtime_ns
        if seen != self._read:
            self._read, self._objective = seen, objective_of(experiment)
        return self._objective


def objective_of(experiment: Path) -> NotedObjective | None:
    """The objective of a tuning; None if it is not known, or if there are several."""
    metadata = read_metadata(experiment)
    names, mode = metadata.get("metric_names"), metadata.get("metric_mode")
    mode = mode[0] if isinstance(mode, list) and mode else mode
    if not (isinstance(names, list) and len(names) == 1 and isinstance(names[0], str)) or mode not in ("min", "max"):
        return None
    time_attr = scheduler_arguments(metadata).get("time_attr")
    return NotedObjective(names[0], mode == "min", time_attr if isinstance(time_attr, str) else None)
