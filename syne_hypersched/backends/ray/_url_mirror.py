"""Copies the checkpoints on the tuner's disk to a URL, in its own threads.

A trial never waits for it. An error concerns the trial whose checkpoints could not be written: the attempt is repeated,
while the others go on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from syne_hypersched.backends.ray._url_store import UrlStore

logger = logging.getLogger(__name__)

#: Trials that are written at a time.
_NUM_THREADS = 4
#: Seconds until a first and until any later attempt after a failure.
_RETRY_S, _MOST_RETRY_S = 1.0, 30.0
#: Attempts that fail before a warning, and at the end of a tuning before a trial is given up.
_MOST_TRIES = 3
#: Seconds after which waiting for the end is told.
_TELL_S = 5.0
PUT, REMOVE = "put", "remove"
#: Where generations are kept while they are read, in a trial's folder.
_ASIDE = ".uploading"


class DueWork:
    """The pending actions of each trial, and their times: plain bookkeeping; callers pass the time (s)."""

    def __init__(self) -> None:
        self._due: dict[str, tuple[str, ...]] = {}
        self._busy: dict[str, str] = {}
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}

    def put(self, trial: str) -> None:
        """A trial has new checkpoints."""
        due = self._due.get(trial, ())
        self._due[trial] = due if PUT in due else (*due, PUT)

    def remove(self, trial: str) -> None:
        """Forgets a trial without checkpoints."""
        self._due[trial] = (REMOVE,)
        self._not_before.pop(trial, None)

    def take(self, now: float) -> tuple[str, str] | None:
        """The next trial and action; None if nothing is due."""
        for trial, due in self._due.items():
            if trial not in self._busy and self._not_before.get(trial, now) <= now:
                self._busy[trial] = due[0]
                self._due.pop(trial)
                if due[1:]:
                    self._due[trial] = due[1:]
                return trial, due[0]
        return None

    def succeed(self, trial: str) -> None:
        """It is done."""
        del self._busy[trial]
        self._failures.pop(trial, None)
        self._not_before.pop(trial, None)

    def fail(self, trial: str, now: float) -> int:
        """Schedules a failed action again, unless a later one replaces it; returns the number of failures so far."""
        what, due = self._busy.pop(trial), self._due.get(trial, ())
        if REMOVE not in due:
            self._due[trial] = (what, *(each for each in due if each != what))
        number = self._failures[trial] = self._failures.get(trial, 0) + 1
        self._not_before[trial] = now + min(_MOST_RETRY_S, _RETRY_S * 2 ** (number - 1))
        return number

    def give_up(self, trial: str) -> None:
        """It is not tried again."""
        self._due.pop(trial, None)

    def forget_failures(self) -> None:
        """All is tried again at once."""
        self._failures.clear()
        self._not_before.clear()

    def wait_s(self, now: float) -> float | None:
        """Seconds until the next action; None if nothing is scheduled."""
        moments = [self._not_before.get(trial, now) - now for trial in self._due if trial not in self._busy]
        return max(0.0, min(moments)) if moments else None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way or to be done."""
        return not self._due and not self._busy


class UrlMirror:
    """See the module. Any thread may call.

    Parameters
    ----------
    store
        What is behind the URL.
    folder_of
        The checkpoint folder of a trial on the tuner's disk.
    """

    def __init__(self, store: UrlStore, folder_of: Callable[[str], Path]) -> None:
        self._store, self._folder_of = store, folder_of
        self._changed = threading.Condition()
        self._work = DueWork()
        self._threads: list[threading.Thread] = []
        self._warned: set[str] = set()
        self._is_closing = self._is_done = False

    def notice(self, trial: str) -> None:
        """A trial has new checkpoints on the tuner's disk."""
        with self._changed:
            self._work.put(trial)
            self._wake()

    def remove(self, trial: str) -> None:
        """Removes the checkpoints of a trial at the URL, after they were removed here."""
        with self._changed:
            self._work.remove(trial)
            self._wake()

    def fetch(self, trial: str) -> int | None:
        """Puts the newest checkpoints of a trial on the tuner's disk; see :meth:`UrlStore.get`."""
        checkpoints = self._folder_of(trial)
        return self._store.get(trial, checkpoints, checkpoints.with_name(_ASIDE))

    def close(self) -> None:
        """Returns when all is written, or was given up after several attempts, which is told."""
        with self._changed:
            self._is_closing = True
            self._work.forget_failures()
            self._changed.notify_all()
            if self._threads and not self._changed.wait_for(lambda: self._work.is_idle, _TELL_S):
                logger.warning("The last checkpoints are being written to %s.", self._store.url)
                self._changed.wait_for(lambda: self._work.is_idle)
            self._is_done = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _wake(self) -> None:
        if len(self._threads) < _NUM_THREADS and not self._is_done:
            thread = threading.Thread(target=self._run, name="syne-hypersched-url", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                while (taken := self._work.take(time.monotonic())) is None:
                    if self._is_done:
                        return
                    self._changed.wait(self._work.wait_s(time.monotonic()))
            trial, what = taken
            error = self._do(trial, what)
            with self._changed:
                if error is None:
                    self._work.succeed(trial)
                else:
                    self._fail(trial, what, error)
                self._changed.notify_all()

    def _do(self, trial: str, what: str) -> Exception | None:
        try:
            if what == REMOVE:
                self._store.remove(trial)
            else:
                checkpoints = self._folder_of(trial)
                self._store.put(trial, checkpoints, checkpoints.with_name(_ASIDE))
        except Exception as error:  # an error of any kind must not stop other trials
            return error
        return None

    def _fail(self, trial: str, what: str, error: Exception) -> None:
        number, verb = self._work.fail(trial, time.monotonic()), "removed from" if what == REMOVE else "written to"
        if self._is_closing and number >= _MOST_TRIES:
            self._work.give_up(trial)
            stay = "" if what == REMOVE else " They are on the tuner's disk only."
            logger.warning(
                "The checkpoints of trial %s were not %s %s: %s.%s", trial, verb, self._store.url, error, stay
            )
        elif number >= _MOST_TRIES and trial not in self._warned:  # else newer ones may have come meanwhile
            self._warned.add(trial)
            logger.warning(
                "The checkpoints of trial %s cannot be %s %s: %s. That is tried again; the trial goes on, with its "
                "checkpoints on the tuner's disk.", trial, verb, self._store.url, error,
            )  # fmt: skip
