"""A multiset of distances between trials that knows its quantiles, whatever is added to it and removed from it.

PASHA needs a quantile of the distances over *pairs* of trials after every report: up to millions of distances, of which
a report changes thousands. Distances are counted in buckets of equal relative width. Their values are kept as well, and
those around the quantile asked for last are kept sorted, so that the quantile is read from there.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from syne_hypersched import checks

Floats: TypeAlias = NDArray[np.float64]
Bits: TypeAlias = NDArray[np.int64]

# The bit pattern of a float that is not negative grows with the float. Its leading bits, the exponent and seven bits of
# the mantissa, number the bucket, so that a bucket's values differ by less than one part in 128.
_SHIFT = 52 - 7
_NUM_BUCKETS = 1 << (63 - _SHIFT)

_MIN_MARGIN = 1024
_MARGIN_SHARE = 64
_EMPTY: Bits = np.empty(0, dtype=np.int64)


class Distances:
    """Multiset of finite distances with exact quantiles, up to a size beyond which quantiles are estimates.

    Changing ``m`` of ``n`` distances costs O(m) and, seldom, a pass over all ``n`` when the quantile has left the
    sorted part; a quantile costs O(1).

    Parameters
    ----------
    max_exact
        The number of distances, at eight bytes each, up to which quantiles are exact. Once there are more, only the
        counts of the buckets are kept: every order statistic is then known to one part in 256, and so is every
        quantile.
    """

    def __init__(self, max_exact: int = 2**23) -> None:
        self._max_exact = checks.integer("max_exact", max_exact, at_least=0)
        self._exact = True
        self._size = 0
        self._counts: NDArray[np.int64] = np.zeros(_NUM_BUCKETS, dtype=np.int64)
        self._added: list[Bits] = []
        self._removed: list[Bits] = []
        self._num_removed = 0
        # The sorted part holds all distances d with low <= d < high; `_below` distances are smaller.
        self._window = _EMPTY
        self._low = self._high = self._below = self._max_window = 0

    def __len__(self) -> int:
        """Number of distances."""
        return self._size

    @property
    def is_exact(self) -> bool:
        """Whether quantiles are exact: never again once there were too many distances."""
        return self._exact

    def update(self, added: Floats, removed: Floats) -> None:
        """Adds and removes distances.

        Parameters
        ----------
        added
            Distances to add, finite and not negative, shape ``(a,)``.
        removed
            Distances to remove, each of them present, shape ``(r,)``.
        """
        plus, minus = _bits(added), _bits(removed)
        self._size += len(plus) - len(minus)
        np.add.at(self._counts, plus >> _SHIFT, 1)
        np.subtract.at(self._counts, minus >> _SHIFT, 1)
        if self._exact and self._size > self._max_exact:
            self._exact = False
            self._added, self._removed, self._window = [], [], _EMPTY
        if self._exact:
            self._update_window(plus, minus)

    def quantile(self, q: float) -> float:
        """The ``q``-quantile, interpolated linearly as by :func:`numpy.quantile`.

        Raises
        ------
        TypeError
            ``q`` is not a number.
        ValueError
            ``q`` is outside of [0, 1], or there is no distance.
        """
        q = checks.number("q", q, "from 0 to 1", at_least=0.0, at_most=1.0)
        if self._size == 0:
            raise ValueError("there is no quantile of no distances")
        position = q * (self._size - 1)
        lower = math.floor(position)
        upper = min(lower + 1, self._size - 1)
        low, high = self._order_statistics(lower, upper)
        share = position - lower
        return low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share)

    def _order_statistics(self, lower: int, upper: int) -> tuple[float, float]:
        if not self._exact:
            buckets = np.searchsorted(np.cumsum(self._counts), [lower, upper], side="right")
            middle = (buckets << _SHIFT) + (1 << (_SHIFT - 1))
            low, high = middle.astype(np.int64).view(np.float64)
            return float(low), float(high)
        outside = lower < self._below or upper >= self._below + len(self._window)
        if outside or len(self._window) > self._max_window:
            self._move_window(lower, upper)
        low, high = self._window[[lower - self._below, upper - self._below]].view(np.float64)
        return float(low), float(high)

    def _update_window(self, plus: Bits, minus: Bits) -> None:
        if len(plus):
            self._added.append(plus)
            self._below += int(np.count_nonzero(plus < self._low))
            inside = self._inside_window(plus)
            self._window = np.insert(self._window, np.searchsorted(self._window, inside), inside)
        if len(minus):
            self._removed.append(minus)
            self._num_removed += len(minus)
            self._below -= int(np.count_nonzero(minus < self._low))
            self._window = _without(self._window, self._inside_window(minus))
        if self._num_removed > max(self._size, _MIN_MARGIN):
            # Otherwise what is kept would grow with the number of changes, not of distances.
            live = _without(np.sort(np.concatenate(self._added)), np.sort(np.concatenate(self._removed)))
            self._added, self._removed, self._num_removed = [live], [], 0

    def _move_window(self, lower: int, upper: int) -> None:
        """Sorts the distances whose ranks are around ``lower`` to ``upper``, in whole buckets."""
        margin = max(_MIN_MARGIN, self._size // _MARGIN_SHARE)
        ends = np.cumsum(self._counts)
        first = int(np.searchsorted(ends, max(lower - margin, 0), side="right"))
        last = int(np.searchsorted(ends, min(upper + margin, self._size - 1), side="right"))
        self._low, self._high = first << _SHIFT, (last + 1) << _SHIFT
        self._below = int(ends[first - 1]) if first else 0
        added, removed = (np.concatenate([_EMPTY, *log]) for log in (self._added, self._removed))
        self._added, self._removed = [added], [removed]
        self._window = _without(self._inside_window(added), self._inside_window(removed))
        # More distances make the window dearer, not better.
        self._max_window = 2 * len(self._window) + _MIN_MARGIN

    def _inside_window(self, values: Bits) -> Bits:
        return np.sort(values[(values >= self._low) & (values < self._high)])


def _bits(distances: Floats) -> Bits:
    return np.ascontiguousarray(distances, dtype=np.float64).view(np.int64)


def _without(values: Bits, removed: Bits) -> Bits:
    """The multiset difference of two sorted arrays, the second of which is contained in the first."""
    if not len(removed):
        return values
    among_equals = np.arange(len(removed)) - np.searchsorted(removed, removed)
    return np.delete(values, np.searchsorted(values, removed) + among_equals)
