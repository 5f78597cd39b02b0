"""The clock of a scheduler with a journal: it does not advance within a call, so that a replay is exact."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from syne_hypersched.schedulers.clock import TuningClock


class Ticks:
    """Seconds since the tuning started. Every call of a scheduler happens at one moment, which the journal records.

    Attributes
    ----------
    now_s
        The moment of the call in progress, or of the last one.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self._source: Callable[[], float] | None = None
        self._offset_s = 0.0

    def start(self, elapsed_s: float) -> None:
        """Starts the clock at ``elapsed_s`` seconds after the start of the tuning."""
        self._offset_s = elapsed_s - time.monotonic()

    def tick(self) -> float:
        """Sets the clock to now, for the next call."""
        now_s = self._offset_s + time.monotonic() if self._source is None else float(self._source())
        self.now_s = max(self.now_s, now_s)
        return self.now_s

    def drive(self, scheduler: Any) -> None:
        """Replaces a scheduler's clock by this one, which then reads a clock that the user has set."""
        for clock in vars(scheduler).values():
            if isinstance(clock, TuningClock):
                before = clock.drive(self)
                self._source = before._source if isinstance(before, Ticks) else before

    def __call__(self) -> float:
        return self.now_s
