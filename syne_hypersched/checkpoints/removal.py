"""Removes the checkpoints of trials that have ended, so that an experiment of hundreds of trials keeps only a few.

The scheduler decides what may be removed, if it can (:class:`~syne_hypersched.contract.RemovingScheduler`). Otherwise
:class:`StoppedTrials` decides.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from syne_hypersched.checkpoints._files import read_tree
from syne_hypersched.checkpoints._store import GenerationStore, torn_folder
from syne_hypersched.filenames import JOURNAL_DIRNAME

logger = logging.getLogger(__name__)


class StoppedTrials:
    """Decides which checkpoints of stopped trials may be removed, if the scheduler does not decide.

    Syne Tune removes a checkpoint when its trial is stopped. That is too early for population-based training. When the
    scheduler stops a weak trial, it chooses another trial, from whose checkpoint the next trial starts. The chosen
    trial may be stopped before the next one starts. Such a choice is made only when a trial stops running, and each
    start uses one choice. So no choice is pending when every trial that has stopped running has been replaced.
    """

    def __init__(self) -> None:
        self._running: set[int] = set()
        self._num_vacant = 0
        self._stopped: dict[int, None] = {}

    def leave(self, trial_id: int, stopped: bool) -> None:
        """Notes that a trial no longer runs: it was stopped for good (``stopped``), has ended, or is paused."""
        if trial_id in self._running:
            self._running.discard(trial_id)
            self._num_vacant += 1
        if stopped:
            self._stopped[trial_id] = None

    def start(self, trial_id: int) -> tuple[int, ...]:
        """Notes a start or resume. Returns the stopped trials whose checkpoints may be removed now."""
        self._running.add(trial_id)
        self._stopped.pop(trial_id, None)
        self._num_vacant = max(0, self._num_vacant - 1)
        if self._num_vacant:
            return ()
        return self.release()

    def release(self) -> tuple[int, ...]:
        """Returns all stopped trials. The disk is full, so their checkpoints are removed even if they may be needed."""
        removable, self._stopped = tuple(self._stopped), {}
        return removable


class CheckpointRemover:
    """Removes folders of checkpoints in its own thread, since removing a large one takes long.

    The first error is logged as a warning, and the tuning goes on.

    Parameters
    ----------
    automatic
        Whether the checkpoints of stopped trials are removed without a :meth:`request`, when :class:`StoppedTrials`
        allows it.
    folder_of
        The folder of a trial's checkpoints.
    is_needed
        Returns whether the folder of a trial must stay for now, because a process writes or copies it.
    may_trim
        Returns whether the generations of a trial may be removed: no process writes to its folder, and all its reports
        were read.
    before
        Called in the thread before anything is removed. It waits for copies in progress.
    on_removed
        Called in the thread with a trial whose checkpoints were removed, and the number of bytes freed.
    """

    def __init__(
        self,
        automatic: bool,
        folder_of: Callable[[int], Path],
        is_needed: Callable[[int], bool],
        may_trim: Callable[[int], bool],
        before: Callable[[], None],
        on_removed: Callable[[int, int], None],
    ) -> None:
        self._automatic = automatic
        self._stopped = StoppedTrials()
        self._folder_of = folder_of
        self._is_needed = is_needed
        self._may_trim = may_trim
        self._before = before
        self._on_removed = on_removed
        #: Trials whose checkpoints are removed as soon as they are not needed (:meth:`remove` checks it), and trials of
        #: which only the generations are removed.
        self._requested: dict[int, None] = {}
        self._untrimmed: dict[int, None] = {}
        self._has_warned = False
        self._begin()

    def _begin(self) -> None:
        self._condition = threading.Condition()
        #: Folders to handle, and whether each is to be removed (or only its generations).
        self._queue: dict[int, tuple[Path, bool]] = {}
        self._is_busy = False
        self._thread: threading.Thread | None = None

    def leave(self, trial_id: int, stopped: bool = False) -> None:
        """Notes that a trial no longer runs, because it was stopped for good or for another reason.

        Its checkpoint folder is whole and stays. Its generations are no longer needed.
        """
        self._untrimmed[trial_id] = None
        self._stopped.leave(trial_id, stopped and self._automatic)

    def start(self, trial_id: int) -> None:
        """Notes a start or resume of a trial: its remaining checkpoints stay."""
        self._requested.pop(trial_id, None)
        self._untrimmed.pop(trial_id, None)
        with self._condition:
            self._queue.pop(trial_id, None)
        for removable in self._stopped.start(trial_id):
            self.request(removable)

    def request(self, trial_id: int) -> None:
        """Requests that a later call of :meth:`remove` removes a trial's checkpoints."""
        self._requested[trial_id] = None

    def make_room(self) -> None:
        """Removes everything that may be removed, because the disk is full; returns at once."""
        for removable in self._stopped.release():
            self.request(removable)
        self.remove()

    def remove(self) -> None:
        """Starts to remove everything that is requested and not needed; returns at once."""
        # Look up the folder now, since paths change when another experiment begins.
        ready: dict[int, tuple[Path, bool]] = {}
        for trial_id in [trial_id for trial_id in self._untrimmed if self._may_trim(trial_id)]:
            del self._untrimmed[trial_id]
            ready[trial_id] = (self._folder_of(trial_id), False)
        for trial_id in [trial_id for trial_id in self._requested if not self._is_needed(trial_id)]:
            del self._requested[trial_id]
            ready[trial_id] = (self._folder_of(trial_id), True)
        if not ready:
            return
        with self._condition:
            for trial_id, (folder, is_whole) in ready.items():
                if is_whole or trial_id not in self._queue:  # the queue may already hold the removal of the folder
                    self._queue[trial_id] = (folder, is_whole)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="syne-hypersched-removal", daemon=True)
                self._thread.start()
            self._condition.notify_all()

    def flush(self) -> None:
        """Waits until every removal that was started is done."""
        with self._condition:
            self._condition.wait_for(lambda: not self._queue and not self._is_busy)

    def finish(self, trial_ids: Sequence[int], experiment: Path) -> None:
        """Removes, at the end of a tuning, everything that is requested; returns when it is removed.

        If ``automatic``, the checkpoints of all trials are removed, as in Syne Tune. If the experiment may be resumed,
        the checkpoints that a resume may need stay.

        Parameters
        ----------
        trial_ids
            All trials.
        experiment
            The experiment's folder.
        """
        if self._automatic and not (experiment / JOURNAL_DIRNAME).exists():
            self._requested.update(dict.fromkeys(trial_ids))
        self.remove()
        self.flush()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._queue)
                self._is_busy = True
            self._before()
            with self._condition:
                trial_id, (folder, is_whole) = next(iter(self._queue.items()), (None, (Path(), False)))
                if trial_id is not None:
                    del self._queue[trial_id]
            try:
                if trial_id is not None and is_whole:
                    self._remove(trial_id, folder)
                elif trial_id is not None:
                    trim_generations(folder)
            except Exception as error:  # any error, such as an unreadable folder, must not block the end
                self._warn(folder, error)
            with self._condition:
                self._is_busy = False
                self._condition.notify_all()

    def _remove(self, trial_id: int, folder: Path) -> None:
        bytes_freed = remove_checkpoints(folder)
        if bytes_freed is not None:
            self._on_removed(trial_id, bytes_freed)

    def _warn(self, folder: Path, error: Exception) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning("Unneeded checkpoints remain, because %s cannot be removed: %s", folder, error)

    def __getstate__(self) -> dict[str, Any]:
        of_this_process = ("_condition", "_queue", "_is_busy", "_thread")
        state = {name: value for name, value in self.__dict__.items() if name not in of_this_process}
        with self._condition:
            removals = [trial_id for trial_id, (_, is_whole) in self._queue.items() if is_whole]
            return state | {"_requested": {**self._requested, **dict.fromkeys(removals)}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()


def remove_checkpoints(folder: Path) -> int | None:
    """Removes a checkpoint folder with its generations, and a checkpoint that was moved aside because it may be torn.

    Other processes see each folder vanish in one step.

    Symbolic links are not followed. If an entry or the folder itself is a link, only the link is removed.

    Returns
    -------
    int or None
        Number of bytes freed; None if there was nothing to remove.

    Raises
    ------
    OSError
        A file cannot be removed, or the trial's folder is a symbolic link.
    """
    generations = GenerationStore(folder).folder
    # A process that was killed during a removal may have left a renamed folder.
    folders = folder, generations, torn_folder(folder)
    asides = {path: path.with_name(f".{path.name.lstrip('.')}-removed") for path in folders}
    found = [path for pair in asides.items() for path in pair if os.path.lexists(path)]
    if not found:
        return None
    if folder.parent.is_symlink():
        raise OSError(errno.ELOOP, "the trial's folder is a symbolic link", str(folder.parent))
    bytes_freed = _size([path for path in found if not path.is_symlink()])
    for path, aside in asides.items():
        for one in (aside, path):
            if one.is_symlink():
                one.unlink()
            elif one.exists():
                if one is path:
                    os.rename(path, aside)
                shutil.rmtree(aside)
    return bytes_freed


def _size(folders: Sequence[Path]) -> int:
    """Bytes of the files below some folders that have no other hard link elsewhere."""
    sizes: dict[int, int] = {}
    names_left: dict[int, int] = {}
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    status = os.lstat(os.path.join(parent, name))
                    sizes[status.st_ino] = status.st_size
                    names_left[status.st_ino] = names_left.get(status.st_ino, status.st_nlink) - 1
    return sum(size for inode, size in sizes.items() if not names_left[inode])


def trim_generations(folder: Path) -> None:
    """Removes generations of a trial that no longer runs. Keeps the newest one, unless the folder is whole."""
    store = GenerationStore(folder)
    live, newest = read_tree(folder), store.newest()
    is_whole = store.notes().is_whole_in(live) or (newest is not None and newest.live == live)
    for number in store.numbers():
        if is_whole or newest is None or number != newest.number:
            store.remove(number)
