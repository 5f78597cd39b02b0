"""The command by which a trial's script is run: an argument list, which no shell ever sees."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import Any

from syne_tune.constants import ST_CHECKPOINT_DIR, ST_CONFIG_JSON_FNAME_ARG

#: What argparse takes for a negative number and not for an option, in all versions of Python.
_NEGATIVE_NUMBER = re.compile(r"-\d+|-\d*\.\d+")


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
    """The arguments that a script is given: ``--name value``, which every way to read arguments understands.

    A value that begins with a hyphen may be taken for an option. To :mod:`argparse` negative numbers are none as long
    as they have no exponent, so they are written without; other such values are passed as ``--name=value``.

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
    return tuple(part for name, value in arguments.items() for part in _argument(name, value))


def _argument(name: str, value: Any) -> tuple[str, ...]:
    text = str(value)
    if isinstance(value, Real) and text.startswith("-") and "e" in text:
        digits = format(Decimal(text), "f")
        text = digits if "." in digits else f"{digits}.0"
    if len(text) > 1 and text.startswith("-") and not _NEGATIVE_NUMBER.fullmatch(text):
        return (f"--{name}={text}",)
    return f"--{name}", text
