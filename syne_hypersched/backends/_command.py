"""The command by which a trial's script is run: an argument list, which no shell ever sees."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from syne_tune.constants import ST_CHECKPOINT_DIR, ST_CONFIG_JSON_FNAME_ARG


def program(binary: str | Sequence[str] | None, entry_point: Path) -> tuple[str, ...]:
    """What runs ``entry_point``: by default this interpreter if it is a Python script, else nothing but itself.

    Raises
    ------
    ValueError
        ``binary`` names no program.
    """
    if binary is None:
        return (sys.executable,) if entry_point.suffix == ".py" else ()
    parts = tuple(shlex.split(binary) if isinstance(binary, str) else binary)
    if not parts or not all(isinstance(part, str) for part in parts):
        raise ValueError(f"binary must name a program, but got {binary!r}")
    return parts


def script_arguments(config: Mapping[str, Any], config_json: Path | None, checkpoint_path: Path) -> tuple[str, ...]:
    """The arguments that a script is given.

    Parameters
    ----------
    config
        The trial's configuration.
    config_json
        File with the configuration, if the script is to read it there.
    checkpoint_path
        Folder for its checkpoints.

    Raises
    ------
    ValueError
        A name or a value cannot be passed to a program.
    """
    arguments = dict(config) if config_json is None else {ST_CONFIG_JSON_FNAME_ARG: str(config_json)}
    arguments[ST_CHECKPOINT_DIR] = str(checkpoint_path)
    for name, value in arguments.items():
        if "\0" in f"{name}{value}":
            raise ValueError(
                f"config must hold no null character, which no program can be given, but has {name}={value!r}"
            )
    return tuple(part for name, value in arguments.items() for part in (f"--{name}", str(value)))
