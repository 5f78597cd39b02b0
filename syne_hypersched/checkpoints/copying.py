"""A trial begins with the checkpoint of another one, as in population-based training."""

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
    """The trials that begin with the checkpoint of another one.

    If there is no room for a copy, it is made later, before the launch, which waits for room.

    Parameters
    ----------
    folder_of
        The checkpoint folder of a trial.
    min_free_mb
        Megabytes that must be free after a copy.
    """

    def __init__(self, folder_of: Callable[[int], Path], min_free_mb: float) -> None:
        self._folder_of = folder_of
        self._min_free_mb = min_free_mb
        #: From whose checkpoint trials are to begin that have no copy yet.
        self._sources: dict[int, int] = {}
        self._made: set[int] = set()
        self._has_told = False

    def order(self, source: int, target: int) -> None:
        """Makes a copy for a trial that begins from another one, if there is room; else :meth:`make` does."""
        self._sources[target] = source
        try:
            self._folder_of(target).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.make(target)
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise

    def restore(self, source: int, target: int, has_begun: bool) -> None:
        """A trial of a tuner that has died begins from another one; the copy is still to be made if it is not there.

        Parameters
        ----------
        source, target
            The trials.
        has_begun
            Whether the trial was launched. Then it is not to be put back to the checkpoint that it began with.
        """
        if has_begun or self._folder_of(target).exists():
            self._made.add(target)
        else:
            self._sources[target] = source

    def make(self, target: int) -> None:
        """Makes the copy for a trial, if there is one to be made.

        Raises
        ------
        OSError
            There is no room.
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
            logger.warning("Trial %d %s in %s: trial %d starts without one.", source, why, folder, target)

    def is_source(self, trial_id: int) -> bool:
        """Whether the checkpoint of a trial is still to be copied."""
        return trial_id in self._sources.values()

    def explain(self, trial_id: int) -> bool:
        """Whether a trial that has ended well without a report has begun where another one had ended; says so once."""
        has_copy = trial_id in self._made
        if has_copy and not self._has_told:
            self._has_told = True
            logger.warning(
                "Trial %d has begun with the checkpoint of another trial and has ended without a report: that one was "
                "trained to its end. If max_t of the scheduler is at most the last level of the script, no trial does "
                "so.", trial_id,
            )  # fmt: skip
        return has_copy


def copy_checkpoint(source: Path, target: Path, min_free_mb: float = 0.0) -> bool:
    """Copies a checkpoint folder that its trial may be writing to at the same time.

    Copies the folder as the trial's last launch left it, or its newest generation if the folder may not be whole. If
    there is no generation, and its trial writes to it or has written during the copy, it is copied again, for at most
    about a second. A trial that wants to write while a copy is made waits for at most half a second.

    Parameters
    ----------
    source, target
        The folders. The content of ``target`` is replaced, with its generations.
    min_free_mb
        Megabytes that must be free after the copy.

    Returns
    -------
    bool
        Whether there was anything to copy.

    Raises
    ------
    OSError
        There is no room, a file cannot be read, or the folder was written to during each copy.
    """
    _forget(target)
    try:
        return _copy(source, target, min_free_mb)
    except BaseException:
        _forget(target)  # half of it would fill a full disk further, and is no checkpoint
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
            _forget(target)  # newer ones have come meanwhile, so that it was removed
            continue
        time.sleep(_SETTLE_PAUSE_S)
    raise OSError(errno.EBUSY, "it is being written all the time, and there is no generation of it")


def _copy_generation(store: GenerationStore, generation: Generation, target: Path, min_free_mb: float) -> bool:
    """Copies a generation, of which a second name of each file is made first: it may be removed during the copy."""
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
    """Copies a folder; returns whether there was anything to copy, and None if it was written to during the copy."""
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
            errno.ENOSPC, f"there is no room for a copy of {size_mb:.0f} MB of the checkpoint with which a trial begins"
        )


def _place(tree: Tree, source: Path, target: Path, leases: Leases | None = None) -> None:
    held = leases or Leases("", {})
    aside = _aside(target)  # a tuner that is killed must leave no half of it
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
