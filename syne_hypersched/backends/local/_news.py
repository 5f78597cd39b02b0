"""Waits for events of trials: a report, the end of a launch, or the end of the tuning."""

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

#: Longest wait of a tuner, so that it checks its stop criterion and relaunches failed trials.
MOST_S = 1.0
#: Shortest time between two wake-ups by growing logs. It becomes longer while the logs have no reports.
LEAST_GAP_S, MOST_GAP_S = 0.01, 0.1
#: Reading the logs of hundreds of trials takes milliseconds. They are then read less often: reading takes at most this
#: share (1 in N) of a core, unless a report would wait longer than this.
_IDLE_SHARE, _DEAR_GAP_S = 20, 0.03
#: Interval of reading the logs without inotify.
_LOOK_S = 0.05
#: Interval (s) at which all logs are read, even if they are not known to have grown.
_ALL_S = 1.0


class News:
    """Lets a thread wait for an event of a trial, without polling.

    Only the tuner's thread may call these methods, except for :meth:`wake`. Survives pickling, without what it waits
    on.
    """

    def __init__(self) -> None:
        self._logs: dict[int, Path] = {}
        self._due: float | None = None
        self._start()

    def _start(self) -> None:
        #: The trials of the logs, and the trials whose logs do not exist yet and so are not watched.
        self._trials: dict[Path, int] = {}
        self._unwatched: dict[int, Path] = {}
        #: Trials whose logs have grown since :meth:`take_grown`; None if any log may have grown.
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
        """Begins to watch the log of a trial that will run."""
        self._logs[trial_id] = self._unwatched[trial_id] = log
        self._trials[log] = trial_id
        self._open_growth()  # before trials use up the user's inotify instances

    def leave(self, trial_id: int) -> None:
        """Ends watching the log of a trial."""
        log = self._logs.pop(trial_id, None)
        self._sizes.pop(trial_id, None)
        self._unwatched.pop(trial_id, None)
        if log is not None:
            self._trials.pop(log, None)
            if self._growth is not None:
                self._growth.leave(log)

    def take_grown(self) -> set[int] | None:
        """Trials that may have printed something since the last call; None if any trial may have."""
        now = time.monotonic()
        if self._growth is None:
            return None
        self._watch_logs()
        self._take()
        grown, self._grown = self._grown, set()
        if now >= self._read_all_at:  # a safety net: no report waits for long
            self._read_all_at = now + _ALL_S
            return None
        return grown

    def set_due(self, due: float) -> None:
        """Sets the end of the tuning (monotonic seconds), at which every wait ends."""
        self._due = due

    def fetched(self, num_reports: int, cost_s: float = 0.0) -> None:
        """Records that the logs were read: the CPU time (s), and the number of reports found."""
        self._gap_s = next_gap_s(self._gap_s, num_reports, cost_s)

    def wake(self) -> None:
        """Wakes the tuner for an event that is in no log. Any thread may call it."""
        with self._lock:
            if self._bell is not None:
                os.eventfd_write(self._bell, 1)

    def telling(self, tell: Callable[..., None]) -> Callable[..., None]:
        """A function that calls ``tell``, and then ends a wait."""

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
        """Closes file descriptors; a later wait opens them again."""
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
        """Watches further logs; returns whether one of them, or a log that cannot be watched, has grown."""
        self._open_bell()
        growth = self._open_growth()
        if growth is None:
            return self._look()
        try:
            # Earlier lines are read at once, because inotify does not report them.
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
        # Only state that is valid in another process; no trial runs there.
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
        The seconds before the last reading.
    num_reports
        Reports found by the last reading. Output without reports must not keep the tuner busy.
    cost_s
        CPU time of the last reading (s).
    """
    least_s = min(_DEAR_GAP_S, max(LEAST_GAP_S, _IDLE_SHARE * cost_s))
    return least_s if num_reports else min(MOST_GAP_S, max(least_s, 2 * gap_s))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
