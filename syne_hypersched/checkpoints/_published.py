"""What is in ``best/``, and how it is set aside."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from syne_hypersched._json_files import read_object
from syne_hypersched.checkpoints._files import num_bytes, read_tree
from syne_hypersched.filenames import BEST_DIRNAME, RESULT_FILENAME


def published_result(folder: Path) -> dict[str, Any] | None:
    """The content of ``folder/best/result.json``; None if it does not exist or cannot be read."""
    return read_object(folder / BEST_DIRNAME / RESULT_FILENAME)


def measure_checkpoint(folder: Path) -> tuple[int, int]:
    """The number of files of a checkpoint, and the bytes in them."""
    tree = read_tree(folder)
    return sum(state.kind == "file" for state in tree.values()), num_bytes(tree)


def published_trial(folder: Path) -> int | None:
    """The trial whose checkpoint is in ``folder/best``; None if there is none or it names none."""
    trial_id = (published_result(folder) or {}).get("trial_id")
    return trial_id if isinstance(trial_id, int) else None


def set_aside(folder: Path) -> None:
    """Renames the ``best`` of an earlier experiment of the same name to ``best-before``."""
    link, before = folder / BEST_DIRNAME, folder / f"{BEST_DIRNAME}-before"
    if not link.is_symlink():
        return
    if before.is_symlink():
        shutil.rmtree(folder / os.readlink(before), ignore_errors=True)
    os.replace(link, before)
