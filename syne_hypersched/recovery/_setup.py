"""The tuner before its start: the only file of a journal that is a general pickle."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import Any

import dill
from syne_tune import Tuner

logger = logging.getLogger(__name__)

#: Modules of Python's library that another version of Python has under another name: the version 3.13 stores paths so.
_MODULES = {"pathlib._local": "pathlib"}


def dump_setup(tuner: Tuner) -> bytes | None:
    """The bytes of a tuner that has not run. None, with a warning, if a part cannot be pickled."""
    try:
        return bytes(dill.dumps(tuner))
    except Exception as error:  # a user's object may raise anything
        logger.warning(
            "To resume this experiment, give resume_experiment a tuner: this one cannot be stored (%s)", error
        )
        return None


def write_setup(path: Path, content: bytes) -> None:
    """Stores a tuner, readable by the user alone, and replaces the earlier file atomically."""
    new = path.with_suffix(".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def load_setup(path: Path) -> Tuner:
    """The tuner that was stored. Loading it executes code.

    Raises
    ------
    FileNotFoundError
        No tuner was stored.
    PermissionError
        The file is not the user's own, or others may write to it.
    ValueError
        The file is incomplete, or a module that it needs is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: give resume_experiment a tuner made as the first one was")
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o022:
            raise PermissionError(
                f"{path} must belong to you and be writable by nobody else, because loading it executes code. Give "
                "resume_experiment a tuner instead, and nothing is loaded that could"
            )
        try:
            return _SetupUnpickler(file).load()
        except Exception as error:  # a torn file or a user's object may raise anything
            raise ValueError(
                f"{path} cannot be loaded ({type(error).__name__}: {error}): give resume_experiment a tuner made as "
                "the first one was"
            ) from error


class _SetupUnpickler(dill.Unpickler):
    """Also loads what another version of Python has stored."""

    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(_MODULES.get(module, module), name)
