"""A bounded window of numbers with quantiles."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque


class QuantileWindow:
    """The last ``size`` numbers that were added, and their quantiles.

    Adding costs one binary search and one move of at most ``size`` floats. A quantile costs two look-ups.

    Example
    -------
    >>> window = QuantileWindow(3)
    >>> for value in (9.0, 1.0, 2.0, 3.0):
    ...     window.add(value)
    >>> window.quantile(0.5)
    2.0

    Parameters
    ----------
    size
        Number of values to keep, at least 1. The newest value replaces the oldest one.

    Raises
    ------
    ValueError
        ``size`` is below 1.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, but got {size!r}")
        self._recent: deque[float] = deque(maxlen=size)
        self._sorted: list[float] = []

    def __len__(self) -> int:
        """Number of values in the window."""
        return len(self._sorted)

    def add(self, value: float) -> None:
        """Adds a number.

        Raises
        ------
        ValueError
            ``value`` is not finite.
        """
        if not math.isfinite(value):
            raise ValueError(f"value must be finite, but got {value!r}")
        if len(self._recent) == self._recent.maxlen:
            del self._sorted[bisect_left(self._sorted, self._recent[0])]
        self._recent.append(value)
        insort(self._sorted, value)

    def quantile(self, q: float) -> float:
        """The ``q``-quantile of the window, interpolated linearly as by :func:`numpy.quantile`.

        Raises
        ------
        ValueError
            The window is empty, or ``q`` is not from 0 to 1.
        """
        if not self._sorted:
            raise ValueError("an empty window has no quantile")
        if not 0 <= q <= 1:
            raise ValueError(f"q must be from 0 to 1, but got {q!r}")
        position = q * (len(self._sorted) - 1)
        below = math.floor(position)
        low, high = self._sorted[below], self._sorted[min(below + 1, len(self._sorted) - 1)]
        return low + (high - low) * (position - below)

    @property
    def median(self) -> float:
        """The median of the window."""
        return self.quantile(0.5)
