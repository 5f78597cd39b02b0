"""A trial begins with the checkpoint of another one, as in population-based training."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from syne_hypersched.checkpoints._files import Tree, place_tree, read_tree
from syne_hypersched.checkpoints._store import GenerationStore

_SETTLE_TRIES = 20
_SETTLE_PAUSE_S = 0.05


def copy_checkpoint(source: Path, target: Path) -> bool:
    """Copies a checkpoint folder that its trial may be writing to at the same time.

    Copies the folder as the trial's last launch left it, or its newest generation if the folder may not be whole. If
    the folder was not watched and changes during the copy, it is copied again, for at most about a second.

    Parameters
    ----------
    source, target
        The folders. The content of ``target`` is replaced, with its generations.

    Returns
    -------
    bool
        Whether there was anything to copy.
    """
    store = GenerationStore(source)
    live, newest = read_tree(source), store.newest()
    if newest is None or live == newest.live or store.notes().is_whole_in(live):
        return _copy_when_still(source, target)
    _forget(target)
    files = store.files(newest.number)
    _place(newest.live, files, target)
    return True


def _copy_when_still(source: Path, target: Path) -> bool:
    for _ in range(_SETTLE_TRIES):
        before = read_tree(source)
        if not before:
            return False
        _forget(target)
        try:
            _place(before, source, target)
        except OSError:
            pass  # a file was replaced while it was copied
        else:
            if read_tree(source) == before:
                return True
        time.sleep(_SETTLE_PAUSE_S)
    return target.exists()


def _place(tree: Tree, source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place_tree(tree, target, lambda path: os.path.join(source, path), lambda path: False)


def _forget(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.rmtree(GenerationStore(target).folder, ignore_errors=True)
