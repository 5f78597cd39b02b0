"""Waiting for news of trials: a report, the end of a launch, or the moment at which the tuning ends."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from syne_hypersched.backends.shared.growth import GrowthWatch

logger = logging.getLogger(__name__)

#: A tuner is not kept waiting for longer, so that it looks at its stop criterion, and starts what failed again.
MOST_S = 1.0
#: Logs that grow wake the tuner not more often than this, and less and less often while they hold no reports.
LEAST_GAP_S, MOST_GAP_S = 0.01, 0.1
#: Looking at hundreds of trials takes milliseconds. It is done less often then, so that it takes at most one in this
#: many seconds of a core, as long as no report has to wait for more than this.
_IDLE_SHARE, _DEAR_GAP_S = 20, 0.03
#: Without inotify the logs are looked at as often as this.
_LOOK_S = 0.05
#: All logs are read as often as this (s), whether they are known to have grown or not.
_ALL_S = 1.0


class News:
    """Has a thread wait until something has happened to a trial, without polling.

    All methods are for the tuner's thread, but for :meth:`wake`. Survives pickling, without what it waits on.
    """

    def __init__(self) -> None:
        self._logs: dict[int, Path] = {}
        self._due: float | None = None
        self._start()

    def _start(self) -> None:
        #: The trials of the logs, and those whose logs are not watched, since they do not exist yet.
        self._trials: dict[Path, int] = {}
        self._unwatched: dict[int, Path] = {}
        #: Trials whose logs have grown since :meth:`take_grown`; None: it may be any of them.
        self._grown: set[int] | None = None
        self._read_all_at = 0.0
        self._lock = threading.Lock()
        self._bell: int | None = None
        self._growth: GrowthWatch | None = None
        self._has_failed = False
        self._sizes: dict[int, int] = {}
        self._gap_s = LEAST_GAP_S
        self._returned = 0.0

    def watch(self, trial_id: int, log: Path) -> None:
        """A trial is to run, and reports in this file."""
        self._logs[trial_id] = self._unwatched[trial_id] = log
        self._trials[log] = trial_id
        self._open_growth()  # before trials take what instances the user may have

    def leave(self, trial_id: int) -> None:
        """A trial is not to run any more."""
        log = self._logs.pop(trial_id, None)
        self._sizes.pop(trial_id, None)
        self._unwatched.pop(trial_id, None)
        if log is not None:
            self._trials.pop(log, None)
            if self._growth is not None:
                self._growth.leave(log)

    def take_grown(self) -> set[int] | None:
        """Trials that may have printed something since the last call; None: any of them may have."""
        now = time.monotonic()
        if self._growth is None:
            return None
        self._watch_logs()
        self._take()
        grown, self._grown = self._grown, set()
        if now >= self._read_all_at:  # should anything ever go wrong, no report waits for long
            self._read_all_at = now + _ALL_S
            return None
        return grown

    def set_due(self, due: float) -> None:
        """No wait lasts beyond this moment (monotonic seconds), at which the tuning ends."""
        self._due = due

    def fetched(self, num_reports: int, cost_s: float = 0.0) -> None:
        """The logs were read, which took so much time of a core (s); ``num_reports`` reports were found."""
        self._gap_s = next_gap_s(self._gap_s, num_reports, cost_s)

    def wake(self) -> None:
        """Something has happened that is in no log; called in any thread."""
        with self._lock:
            if self._bell is not None:
                os.eventfd_write(self._bell, 1)

    def telling(self, tell: Callable[..., None]) -> Callable[..., None]:
        """A function that does what ``tell`` does, and then ends a wait."""

        def told(*arguments: Any) -> None:
            tell(*arguments)
            self.wake()

        return told

    def wait(self, at_most_s: float) -> None:
        """Returns at the next event, at the latest after ``at_most_s`` seconds and after one second.

        A signal whose handler raises ends it at once.
        """
        now = time.monotonic()
        give_up_at = now + min(at_most_s, MOST_S)
        if self._due is not None and now < self._due:
            give_up_at = min(give_up_at, self._due)
        has_rung, has_grown = False, self._watch_logs()
        while not (has_rung or has_grown) and (left_s := give_up_at - time.monotonic()) > 0:
            has_rung, has_grown = self._hear(left_s)
            has_grown = self._watch_logs() or has_grown
        if not has_rung:
            soonest = min(self._returned + self._gap_s, give_up_at)
            if (left_s := soonest - time.monotonic()) > 0:
                self._hear(left_s, bell_only=True)
        self._returned = time.monotonic()

    def close(self) -> None:
        """Gives file descriptors back; a later wait opens them again."""
        with self._lock:
            if self._bell is not None:
                os.close(self._bell)
                self._bell = None
        self._close_growth()
        self._sizes.clear()

    def _close_growth(self) -> None:
        if self._growth is not None:
            self._growth.close()
            self._growth = None
        self._unwatched = dict(self._logs)
        self._grown = None

    def _hear(self, at_most_s: float, bell_only: bool = False) -> tuple[bool, bool]:
        """Waits for the bell or for log growth; returns which occurred."""
        bell = self._open_bell()
        watched = [bell]
        if self._growth is not None and not bell_only:
            watched.append(self._growth.fileno())
        elif self._growth is None:
            at_most_s = min(at_most_s, _LOOK_S)
        # Not select.select: it takes no file descriptors above 1023.
        poll = select.poll()
        for fd in watched:
            poll.register(fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(1000 * at_most_s)}
        if bell in ready:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(bell)
        has_grown = self._growth is not None and self._growth.fileno() in ready
        if has_grown:
            self._take()
        return bell in ready, has_grown

    def _take(self) -> None:
        """Notes which logs have grown."""
        grown = None if self._growth is None else self._growth.take()
        if grown is None or self._grown is None:
            self._grown = None
        else:
            self._grown.update(self._trials[log] for log in grown if log in self._trials)

    def _open_bell(self) -> int:
        with self._lock:
            if self._bell is None:
                self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            return self._bell

    def _watch_logs(self) -> bool:
        """Watches the logs that are not watched yet; whether one of these, or one that cannot be, has grown."""
        self._open_bell()
        growth = self._open_growth()
        if growth is None:
            return self._look()
        try:
            # What was written before is read at once: nothing tells of it.
            new = [trial_id for trial_id, log in self._unwatched.items() if growth.watch(log)]
            for trial_id in [trial_id for trial_id, log in self._unwatched.items() if growth.is_watched(log)]:
                del self._unwatched[trial_id]
            if self._grown is not None:
                self._grown.update(new)
            return bool(new)
        except OSError as error:
            self._close_growth()
            self._give_up(error)
            return self._look()

    def _open_growth(self) -> GrowthWatch | None:
        if self._growth is None and not self._has_failed:
            try:
                self._growth = GrowthWatch()
            except OSError as error:
                self._give_up(error)
        return self._growth

    def _give_up(self, error: OSError) -> None:
        self._has_failed = True
        logger.debug("The logs are looked at every %g s, since they cannot be watched: %s", _LOOK_S, error)

    def _look(self) -> bool:
        has_grown = False
        for trial_id, log in self._logs.items():
            size = _size(log)
            has_grown |= size != self._sizes.get(trial_id, 0)
            self._sizes[trial_id] = size
        return has_grown

    def __getstate__(self) -> dict[str, Any]:
        # Only what means something in another process; no trial runs there.
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._logs = {}
        self._due = None
        self._start()

    def __del__(self) -> None:
        if hasattr(self, "_bell"):
            self.close()


def next_gap_s(gap_s: float, num_reports: int, cost_s: float) -> float:
    """Seconds from one look at all logs to the next one.

    Parameters
    ----------
    gap_s
        Those before the last look.
    num_reports
        Reports that it has found. What only prints must not have the tuner look all the time.
    cost_s
        What it has cost (seconds of a core).
    """
    least_s = min(_DEAR_GAP_S, max(LEAST_GAP_S, _IDLE_SHARE * cost_s))
    return least_s if num_reports else min(MOST_GAP_S, max(least_s, 2 * gap_s))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
