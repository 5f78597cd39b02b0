"""Seconds between two moments, measured by clocks that cannot be set.

The wall clock can be set at any time: by NTP, by hand, by a virtual machine that wakes up. So within one process, the
monotonic clock is used. Its readings are valid only until the machine is rebooted, and do not include the time when the
machine was asleep. So between processes, a :class:`Moment` is used, with three entries: the time since the machine was
booted, including sleep; an identifier of this boot; and the wall clock. The wall clock is used only if the machine was
rebooted or is a different one. A negative difference counts as 0.
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
    """A moment that can be compared with moments of other processes."""

    timestamp: float
    """Seconds since the epoch, by the wall clock."""

    boot_s: float | None = None
    """Seconds since the machine was booted; None if there is no such clock."""

    boot_id: str | None = None
    """Identifier of this boot of the machine."""

    @classmethod
    def now(cls) -> Moment:
        """The present moment."""
        return cls(time.time(), seconds_since_boot(), boot_id())

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Moment:
        """The moment with these :attr:`entries`. Moments of older versions have only the wall clock.

        Raises
        ------
        KeyError, TypeError, ValueError
            The entries do not describe a moment.
        """
        boot_s = stored.get("boot_s")
        return cls(float(stored["timestamp"]), None if boot_s is None else float(boot_s), stored.get("boot_id"))

    @property
    def entries(self) -> dict[str, Any]:
        """The moment as JSON values."""
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
    """Seconds since a start, by the monotonic clock. A pickled copy continues counting in another process.

    The time between storing and loading counts, too.
    """

    def __init__(self) -> None:
        #: Reading of the monotonic clock at the start; None before the start.
        self._started: float | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started."""
        return self._started is not None

    def start(self, elapsed_s: float = 0.0) -> None:
        """Starts the stopwatch, as if ``elapsed_s`` seconds had already passed."""
        self._started = time.monotonic() - elapsed_s

    def elapsed_s(self) -> float:
        """Seconds since the start, 0 before it."""
        return 0.0 if self._started is None else time.monotonic() - self._started

    def __getstate__(self) -> dict[str, Any]:
        return stored_reading(self._started)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._started = loaded_reading(state)


def stored_reading(started: float | None) -> dict[str, Any]:
    """A reading of the monotonic clock in a form that another process can load."""
    if started is None:
        return {}
    return {"elapsed_s": time.monotonic() - started, **Moment.now().entries}


def loaded_reading(state: Mapping[str, Any]) -> float | None:
    """The stored reading, converted to the monotonic clock of this process."""
    if not state:
        return None
    stored = Moment.of({"timestamp": state.get("stored_at"), **state})  # an older version used this name
    return float(time.monotonic() - state["elapsed_s"] - stored.seconds_ago())


def seconds_since_boot() -> float | None:
    """Seconds since the machine was booted, including sleep; None if the system does not provide them."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return None if clock is None else time.clock_gettime(clock)


@cache
def boot_id() -> str | None:
    """A unique identifier of this boot of this machine; None if the system has none."""
    with contextlib.suppress(OSError), open(_BOOT_ID, encoding="ascii") as file:
        return file.read().strip() or None
    return None
