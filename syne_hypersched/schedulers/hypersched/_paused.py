"""The paused trials of the adaptive strategy, best first."""

from __future__ import annotations

import heapq
import math
from collections.abc import Container, Mapping


class PausedTrials:
    """Finds the best paused trials among many.

    Parameters
    ----------
    live
        The trials that run, which the strategy keeps up to date.
    best
        Best value so far of every trial that has not ended, likewise.
    """

    def __init__(self, live: Container[int], best: Mapping[int, float]) -> None:
        self._live = live
        self._best = best
        #: A heap of best value and id of every trial at each of its pauses.
        self._pauses: list[tuple[float, int]] = []

    def add(self, pause: tuple[float, int]) -> None:
        """Adds a paused trial by its best value and its id."""
        heapq.heappush(self._pauses, pause)

    def first(self) -> tuple[float, int] | None:
        """Best value and id of the best paused trial that may be resumed."""
        while self._pauses and not self._is_paused(*self._pauses[0]):
            heapq.heappop(self._pauses)
        return self._pauses[0] if self._pauses and self._pauses[0][0] < math.inf else None

    def take(self, count: int) -> list[tuple[float, int]]:
        """Takes out best value and id of the best paused trials, ascending; pauses that are over are passed over."""
        found: list[tuple[float, int]] = []
        while self._pauses and len(found) < count:
            pause = heapq.heappop(self._pauses)
            # Two pauses with the same best value come one after the other.
            if self._is_paused(*pause) and pause not in found[-1:]:
                found.append(pause)
        return found

    def _is_paused(self, value: float, trial_id: int) -> bool:
        """Whether an entry of the pauses is of a trial that is paused still, and has the value that it had."""
        return trial_id not in self._live and self._best.get(trial_id) == value
