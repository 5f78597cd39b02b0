"""Lets a trial begin with the checkpoint of another trial, as in population-based training."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from syne_hypersched.checkpoints._files import Tree, num_bytes, place_tree, read_tree, sizes_of
from syne_hypersched.checkpoints._generation import Generation
from syne_hypersched.checkpoints._leases import GivenUpError, Leases, Patience
from syne_hypersched.checkpoints._open_logs import OpenLogs
from syne_hypersched.checkpoints._store import GenerationStore
from syne_hypersched.checkpoints.room import NO_ROOM, UNWRITABLE, free_mb

logger = logging.getLogger(__name__)

_SETTLE_TRIES = 20
_SETTLE_PAUSE_S = 0.05


class CheckpointCopies:
    """The trials that begin with the checkpoint of another trial.

    If the disk has no room for a copy, the copy is made later, before the launch, which waits for room.

    Parameters
    ----------
    folder_of
        The checkpoint folder of a trial.
    min_free_mb
        Megabytes that must remain free after a copy.
    """

    def __init__(self, folder_of: Callable[[int], Path], min_free_mb: float) -> None:
        self._folder_of = folder_of
        self._min_free_mb = min_free_mb
        #: For each trial whose copy is still to be made: the trial whose checkpoint is copied.
        self._sources: dict[int, int] = {}
        self._made: set[int] = set()
        self._has_told = False

    def order(self, source: int, target: int) -> None:
        """Makes a copy for a trial that begins from another one, if there is room. Otherwise :meth:`make` does it."""
        self._sources[target] = source
        try:
            self._folder_of(target).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.make(target)
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise

    def restore(self, source: int, target: int, has_begun: bool) -> None:
        """Restores the record of a tuner that has died. The copy is still to be made if it does not exist.

        Parameters
        ----------
        source, target
            The trials.
        has_begun
            Whether the target was launched. Then it must not be reset to the checkpoint that it began with.
        """
        if has_begun or self._folder_of(target).exists():
            self._made.add(target)
        else:
            self._sources[target] = source

    def make(self, target: int) -> None:
        """Makes the copy for a trial, if one is still to be made.

        Raises
        ------
        OSError
            The disk has no room.
        """
        source = self._sources.get(target)
        if source is None:
            return
        folder, why = self._folder_of(source), "has no checkpoint"
        try:
            is_made = copy_checkpoint(folder, self._folder_of(target), self._min_free_mb)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise
            is_made, why = False, f"has a checkpoint that cannot be copied ({error})"
        del self._sources[target]
        if is_made:
            self._made.add(target)
        else:
            logger.warning("Trial %d %s in %s: trial %d starts without a checkpoint.", source, why, folder, target)

    def is_source(self, trial_id: int) -> bool:
        """Whether the checkpoint of a trial still has to be copied."""
        return trial_id in self._sources.values()

    def explain(self, trial_id: int) -> bool:
        """Whether a trial that ended well without a report began where another trial had ended; warns once."""
        has_copy = trial_id in self._made
        if has_copy and not self._has_told:
            self._has_told = True
            logger.warning(
                "Trial %d began with the checkpoint of another trial and ended without a report: the other trial had "
                "been trained to its end. To avoid this, set max_t of the scheduler to at most the last level of the "
                "script.", trial_id,
            )  # fmt: skip
        return has_copy


def copy_checkpoint(source: Path, target: Path, min_free_mb: float = 0.0) -> bool:
    """Copies a checkpoint folder, even while its trial may be writing to it.

    Copies the folder as the trial's last launch left it. If the folder may not be whole, copies its newest generation.
    If there is no generation, and the trial writes during the copy, the copy is repeated, for at most about a second.
    A trial that wants to write during a copy waits for at most half a second.

    Parameters
    ----------
    source, target
        The folders. The content of ``target`` and its generations are replaced.
    min_free_mb
        Megabytes that must remain free after the copy.

    Returns
    -------
    bool
        Whether there was anything to copy.

    Raises
    ------
    OSError
        The disk has no room, a file cannot be read, or each copy failed because the folder was written to.
    """
    _forget(target)
    try:
        return _copy(source, target, min_free_mb)
    except BaseException:
        _forget(target)  # an incomplete copy is no checkpoint, and would fill a full disk further
        raise


def _copy(source: Path, target: Path, min_free_mb: float) -> bool:
    store = GenerationStore(source)
    for number in range(_SETTLE_TRIES):
        try:
            newest = store.newest()
            if newest is not None and not store.notes().is_whole_in(read_tree(source)):
                return _copy_generation(store, newest, target, min_free_mb)
            is_copied = _copy_if_still(source, target, min_free_mb, may_be_open=number >= _SETTLE_TRIES // 2)
            if is_copied is not None:
                return is_copied
        except FileNotFoundError:
            _forget(target)  # newer generations have come meanwhile, and this one was removed
            continue
        time.sleep(_SETTLE_PAUSE_S)
    raise OSError(errno.EBUSY, "it is being written to all the time, and has no generation")


def _copy_generation(store: GenerationStore, generation: Generation, target: Path, min_free_mb: float) -> bool:
    """Copies a generation. Each file first gets another hard link, since the generation may be removed meanwhile."""
    _check_room(generation.live, target, min_free_mb)
    held = target.with_name(f".{target.name}-copied")
    shutil.rmtree(held, ignore_errors=True)
    files = store.files(generation.number)
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        place_tree(generation.live, held, lambda path: os.path.join(files, path), lambda path: True)
        _place(generation.live, held, target)
    finally:
        shutil.rmtree(held, ignore_errors=True)
    return True


def _copy_if_still(source: Path, target: Path, min_free_mb: float, may_be_open: bool) -> bool | None:
    """Copies a folder. Returns whether there was anything to copy; None: the folder was written to meanwhile."""
    before = read_tree(source)
    if not before:
        return False
    _check_room(before, target, min_free_mb)
    _forget(target)
    with (
        contextlib.suppress(FileNotFoundError, GivenUpError),  # a file was replaced while it was copied
        Leases(str(source), sizes_of(before), lambda: Patience.FIRST_S) as leases,
    ):
        is_closed = leases.obtain()
        if is_closed or may_be_open:  # a file that stays open may be a log
            _place(before, source, target, leases)
            if _without_logs(read_tree(source)) == _without_logs(before):
                return True
    _forget(target)
    return None


def _without_logs(tree: Tree) -> Tree:
    logs = OpenLogs()
    return {path: state for path, state in tree.items() if path not in logs}


def _check_room(tree: Tree, target: Path, min_free_mb: float) -> None:
    size_mb = num_bytes(tree) / 1e6
    if free_mb(target) - size_mb < min_free_mb:
        raise OSError(
            errno.ENOSPC, f"there is no room for a copy ({size_mb:.0f} MB) of the checkpoint with which a trial begins"
        )


def _place(tree: Tree, source: Path, target: Path, leases: Leases | None = None) -> None:
    held = leases or Leases("", {})
    aside = _aside(target)  # a tuner that is killed must not leave an incomplete copy
    shutil.rmtree(aside, ignore_errors=True)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place_tree(tree, aside, lambda path: held.place(path) or os.path.join(source, path), lambda path: False, held.go_on)
    os.rename(aside, target)


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}-copying")


def _forget(target: Path) -> None:
    for folder in (target, _aside(target)):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(GenerationStore(target).folder, ignore_errors=True)
