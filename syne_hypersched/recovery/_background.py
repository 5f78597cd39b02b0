"""Takes each snapshot in a child process, so that the tuner waits only for the fork, not for the pickling."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from syne_hypersched._disk import Disk
from syne_hypersched.launch import die_with_parent
from syne_hypersched.recovery._snapshot import Snapshot, dump_snapshot, write_snapshot

logger = logging.getLogger(__name__)


#: Exit code of a fork that could not write: this number plus the error number.
_FIRST_ERRNO = 32


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Handles Ctrl-C and SIGTERM afterwards: Python ignores what a handler raises in its own callbacks of a fork."""
    process, received = os.getpid(), list[int]()
    is_main = threading.current_thread() is threading.main_thread()  # handlers run in no other one
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM) if is_main}
    before = {number: handler for number, handler in found.items() if callable(handler)}
    try:
        for number in before:
            signal.signal(number, lambda came, _: received.append(came))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for came in received if os.getpid() == process else ():
            signal.raise_signal(came)


class BackgroundSnapshots:
    """Takes snapshots at intervals, each by a fork of this process, which sees the scheduler as it is then.

    The fork runs nothing but pickling, compression and file operations, none of which waits for another thread. A fork
    that has not ended when the next snapshot is due is killed.

    Parameters
    ----------
    folder
        Folder of the journal.
    interval_s
        Seconds from one snapshot to the next.
    disk
        Where to write.
    """

    def __init__(self, folder: str, interval_s: float, disk: Disk) -> None:
        self._folder = folder
        self._interval_s = interval_s
        self._disk = disk
        self._due_at = time.monotonic() + interval_s
        self._pid: int | None = None
        self._failed = False

    @property
    def is_due(self) -> bool:
        """Whether it is time for a snapshot."""
        return not self._failed and time.monotonic() >= self._due_at

    def take(self, num_entries: int, scheduler: Any, in_fork: Callable[[], None] = lambda: None) -> None:
        """Begins to take a snapshot and returns.

        Parameters
        ----------
        num_entries
            Entries of the journal, all synced, that the scheduler knows.
        scheduler
            The scheduler, between two calls.
        in_fork
            Called first in the fork, to release what it must not hold.
        """
        self._due_at = time.monotonic() + self._interval_s
        if not self.has_ended(kill=True):
            return
        tuner = os.getpid()
        with _signals_held_back(), warnings.catch_warnings():
            # Python warns about forks in a process with several threads. This child does nothing that is unsafe then.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if self._pid == 0:
            self._take_in_child(tuner, Snapshot(num_entries, scheduler), in_fork)

    def has_ended(self, kill: bool = False) -> bool:
        """Whether no snapshot is being taken. With ``kill``, a snapshot in progress is killed.

        Returns
        -------
        bool
            False also after a snapshot has failed: no further ones are taken.
        """
        if self._pid is None:
            return not self._failed
        if kill:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        pid, status = os.waitpid(self._pid, 0 if kill else os.WNOHANG)
        if pid == 0:
            return False
        self._pid = None
        code = os.waitstatus_to_exitcode(status)
        if code > 0:
            self._failed = True
            logger.warning(
                "No snapshots are taken, because %s. A resume replays the whole journal, which takes longer.",
                self._why(code),
            )
        return not self._failed

    def _why(self, code: int) -> str:
        """The reason that the exit code of a fork stands for."""
        if code < _FIRST_ERRNO:
            return "the scheduler or its searcher cannot be pickled"
        if not os.path.isdir(self._folder):
            return f"the folder {self._folder} is there no longer, and the journal with it"
        return f"the folder {self._folder} cannot be written to ({os.strerror(code - _FIRST_ERRNO)})"

    def _take_in_child(self, tuner: int, snapshot: Snapshot, in_fork: Callable[[], None]) -> NoReturn:
        failed = 1
        try:
            # A signal to the tuner's whole process group is not meant for this process.
            for signal_ in (signal.SIGINT, signal.SIGTERM):
                signal.signal(signal_, signal.SIG_IGN)
            in_fork()
            die_with_parent(tuner)
            content = dump_snapshot(snapshot)
            try:
                write_snapshot(self._folder, content, self._disk)
                failed = 0
            except OSError as error:
                failed = _FIRST_ERRNO + min(error.errno or 0, 255 - _FIRST_ERRNO)
        finally:
            os._exit(failed)
