"""Seconds between two moments, measured by clocks that nobody can set.

The wall clock can be set at any time: by NTP, by hand, by a virtual machine that wakes up. So within one process the
monotonic clock counts. Its readings mean something only until the machine is started anew, and they leave out the time
for which the machine was asleep. Between processes a :class:`Moment` therefore has three things: the reading of the
clock that has counted since the machine was started, sleep included; which start that was; and the wall clock, which is
used only where the machine was started anew or is another one, and which never makes a time negative.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True)
class Moment:
    """A moment as another process can place it."""

    timestamp: float
    """Seconds since the epoch, by the wall clock."""

    boot_s: float | None = None
    """Seconds since the machine was started; None where there is no such clock."""

    boot_id: str | None = None
    """Which start of which machine that was."""

    @classmethod
    def now(cls) -> Moment:
        """The present moment."""
        return cls(time.time(), seconds_since_boot(), boot_id())

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Moment:
        """The moment that :attr:`entries` has described. One of an older version has the wall clock alone.

        Raises
        ------
        KeyError, TypeError, ValueError
            It says nothing of the kind.
        """
        boot_s = stored.get("boot_s")
        return cls(float(stored["timestamp"]), None if boot_s is None else float(boot_s), stored.get("boot_id"))

    @property
    def entries(self) -> dict[str, Any]:
        """The moment as entries that JSON keeps."""
        return {"timestamp": self.timestamp, "boot_s": self.boot_s, "boot_id": self.boot_id}

    def seconds_until(self, later: Moment) -> float:
        """Seconds from this moment to a later one, at least 0."""
        same_start = self.boot_id is not None and self.boot_id == later.boot_id
        if same_start and self.boot_s is not None and later.boot_s is not None:
            return max(0.0, later.boot_s - self.boot_s)
        return max(0.0, later.timestamp - self.timestamp)

    def seconds_ago(self) -> float:
        """Seconds from this moment until now, at least 0."""
        return self.seconds_until(Moment.now())


class Stopwatch:
    """Seconds since it was started, by the monotonic clock. A copy in another process goes on counting.

    In the copy the time between storing and loading counts.
    """

    def __init__(self) -> None:
        #: What the monotonic clock showed at the start; None before.
        self._started: float | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started."""
        return self._started is not None

    def start(self, elapsed_s: float = 0.0) -> None:
        """Starts it, as if ``elapsed_s`` seconds had passed already."""
        self._started = time.monotonic() - elapsed_s

    def elapsed_s(self) -> float:
        """Seconds since the start, 0 before it."""
        return 0.0 if self._started is None else time.monotonic() - self._started

    def __getstate__(self) -> dict[str, Any]:
        return stored_reading(self._started)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._started = loaded_reading(state)


def stored_reading(started: float | None) -> dict[str, Any]:
    """What is stored of a reading of the monotonic clock, which means nothing in another process."""
    if started is None:
        return {}
    return {"elapsed_s": time.monotonic() - started, **Moment.now().entries}


def loaded_reading(state: Mapping[str, Any]) -> float | None:
    """The reading of this process's monotonic clock that stands for the one that was stored."""
    if not state:
        return None
    stored = Moment.of({"timestamp": state.get("stored_at"), **state})  # an older version has this name for it
    return float(time.monotonic() - state["elapsed_s"] - stored.seconds_ago())


def seconds_since_boot() -> float | None:
    """Seconds since the machine was started, those included for which it slept; None where nobody counts them."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return None if clock is None else time.clock_gettime(clock)


@cache
def boot_id() -> str | None:
    """A name of this start of this machine, which no other one has; None where the system has none."""
    with contextlib.suppress(OSError), open(_BOOT_ID, encoding="ascii") as file:
        return file.read().strip() or None
    return None
