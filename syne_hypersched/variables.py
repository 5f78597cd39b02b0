"""Names of environment variables that a training script may read. Each name is defined only here."""

from __future__ import annotations

from collections.abc import Mapping

NUM_DEVICES = "ST_NUM_DEVICES"
"""Number of devices of the trial's launch; set in every process of a trial."""

RANK = "RANK"
"""Index of this process among those of the launch; not set if one process has all devices."""

LOCAL_RANK = "LOCAL_RANK"
"""Index of this process among those of the launch on its machine."""

WORLD_SIZE = "WORLD_SIZE"
"""Number of processes of the launch."""

LOCAL_WORLD_SIZE = "LOCAL_WORLD_SIZE"
"""Number of processes of the launch on this machine."""

MASTER_ADDR = "MASTER_ADDR"
"""Address of rank 0."""

MASTER_PORT = "MASTER_PORT"
"""A port of rank 0 through which the processes connect."""


def number(name: str, default: int, environment: Mapping[str, str]) -> int:
    """The value of a variable that holds a number; ``default`` if it is not set, empty or not a number."""
    value = environment.get(name, "").strip()
    return int(value) if value.isdecimal() else default
