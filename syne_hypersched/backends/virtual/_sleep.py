"""Notices a tuner that sleeps although it waits for virtual time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

#: Seconds that a tuner may sleep, and share of the time between polls that it must have slept, to be told.
PATIENCE_S = 2.0
SHARE = 0.9


class SleepWatch:
    """Warns once of a tuner that spends its time asleep between two polls.

    The backend does not know its tuner, but can see that the process has used no processor in the meantime. A slow
    searcher uses one; on a crowded machine only some of the time is lost.

    Parameters
    ----------
    clock, processor_clock
        Seconds of real time and of this process on a processor.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, processor_clock: Callable[[], float] = time.process_time
    ) -> None:
        self._clock = clock
        self._processor_clock = processor_clock
        self._left: tuple[float, float] | None = None
        self._between_s = self._asleep_s = 0.0
        self._warned = False

    def enter(self) -> None:
        """A poll begins."""
        if self._warned or self._left is None:
            return
        between_s = self._clock() - self._left[0]
        self._between_s += between_s
        self._asleep_s += max(0.0, between_s - (self._processor_clock() - self._left[1]))
        if self._asleep_s > max(PATIENCE_S, SHARE * self._between_s):
            self._warned = True
            logger.warning(
                "The tuner has slept for %.1f s of real time, which a simulation does not need: "
                "use Tuner(..., sleep_time=0).",
                self._asleep_s,
            )

    def leave(self) -> None:
        """A poll ends."""
        if not self._warned:
            self._left = self._clock(), self._processor_clock()

    def __getstate__(self) -> dict[str, object]:
        # Readings of these clocks mean nothing in another process.
        return {**self.__dict__, "_left": None}
