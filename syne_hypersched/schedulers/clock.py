"""The clock of a tuning: seconds since its start, from any source."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

from syne_tune.constants import ST_TUNER_TIME

from syne_hypersched._moments import loaded_reading, stored_reading


class TuningClock:
    """Seconds since the tuning started; they never run backwards.

    They come from the callable given, or else from the reports of a simulated backend, which carry ``st_tuner_time``,
    or else from this machine's monotonic clock. When a clock of the last kind is stored and loaded again, in another
    process even, the seconds in between count: a deadline does not wait.

    Parameters
    ----------
    clock
        Gives the seconds since the start; None for the other two sources.

    Raises
    ------
    TypeError
        ``clock`` is neither a callable nor None.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        if clock is not None and not callable(clock):
            raise TypeError(
                f"clock must be a callable that gives the seconds since the start or None, but got {clock!r}"
            )
        self.is_simulated = False
        self._clock = clock
        self._latest_s = 0.0
        # What the monotonic clock showed when ``_latest_s`` was 0; None before the start.
        self._started: float | None = None

    def start(self) -> None:
        """Starts the seconds, the first time it is called."""
        if self._started is None:
            self._started = time.monotonic()

    def now_s(self) -> float:
        """Seconds since the start, by the latest report where a simulated backend says the time.

        Raises
        ------
        ValueError
            The callable gives something that is not a finite number.
        """
        self.start()
        if self._clock is not None:
            self._advance(self._clock(), "clock")
        elif not self.is_simulated and self._started is not None:
            self._advance(time.monotonic() - self._started, "clock")
        return self._latest_s

    def drive(self, clock: Callable[[], float]) -> Callable[[], float] | None:
        """Reads the time from ``clock`` from now on, for example to record and replay it.

        Returns
        -------
        callable or None
            The previous callable, None if there was none.
        """
        before, self._clock = self._clock, clock
        return before

    def observe(self, result: Mapping[str, Any]) -> bool:
        """Reads the time from a report of a simulated backend.

        Returns
        -------
        bool
            Whether it is the first such report. Earlier seconds came from another clock and are meaningless.
        """
        if self._clock is not None or ST_TUNER_TIME not in result:
            return False
        first, self.is_simulated = not self.is_simulated, True
        if first:
            self._latest_s = 0.0
        self._advance(result[ST_TUNER_TIME], ST_TUNER_TIME)
        return first

    def _advance(self, seconds: object, source: str) -> None:
        if not (type(seconds) is float or isinstance(seconds, Real)) or not math.isfinite(seconds):
            raise ValueError(f"{source} must give a finite number of seconds since the start, but got {seconds!r}")
        self._latest_s = max(self._latest_s, float(seconds))

    def __getstate__(self) -> dict[str, Any]:
        # A reading of the monotonic clock means nothing in another process.
        state = dict(self.__dict__)
        if self._started is not None:
            state["_started"] = stored_reading(self._started)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._started = None if state["_started"] is None else loaded_reading(state["_started"])
