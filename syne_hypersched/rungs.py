"""Rungs of successive halving, with order statistics in O(log n).

Every value in a rung is to be minimised. Callers negate metrics to be maximised, and replace NaN and infinities by
``+inf``, the worst value. With n recorded values, each of these operations costs O(log n) amortised: recording, the
interpolated quantile, the rank of a value, and the best paused trial. A rung is never sorted again and never scanned.
"""

from __future__ import annotations

import heapq
import math
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from fractions import Fraction
from numbers import Integral

from syne_hypersched._sorted_floats import SortedFloats
from syne_hypersched.checks import is_number

_INTEGER_TOLERANCE = 1e-9
"""Relative distance up to which a position in a rung is rounded to an integer, because ``1 - 1/3`` is not exact."""


MOST_RUNGS = 1000
"""Maximum number of rungs of a ladder. A ratio that gives more is probably a mistake."""


def rung_levels(grace_period: float, reduction_factor: float, max_t: float) -> tuple[float | int, ...]:
    """The levels ``grace_period * reduction_factor ** i`` that lie strictly below ``max_t``, ascending.

    The arguments are read as the decimal numbers that Python prints for them. So 100 times 1.1 is 110, and not
    110.00000000000001, which is above the level of a report at 110.

    Parameters
    ----------
    grace_period
        Level of the lowest rung, positive. If it is at least ``max_t``, there is no rung.
    reduction_factor
        Ratio of neighbouring levels, greater than 1.
    max_t
        Maximum resource of a trial, positive. It is never a rung itself.

    Returns
    -------
    tuple
        The levels, as ``int`` if they are integral. May be empty.

    Raises
    ------
    TypeError
        An argument is not a number.
    ValueError
        An argument is not finite or out of range, or there would be more than :const:`MOST_RUNGS` rungs.
    """
    level = _exact("grace_period", grace_period)
    ratio = _exact("reduction_factor", reduction_factor)
    end = _exact("max_t", max_t)
    if level <= 0:
        raise ValueError(f"grace_period must be positive, but got {grace_period!r}")
    if ratio <= 1:
        raise ValueError(f"reduction_factor must be greater than 1, but got {reduction_factor!r}")
    if end <= 0:
        raise ValueError(f"max_t must be positive, but got {max_t!r}")
    levels: list[float | int] = []
    if _log(end) - _log(level) > MOST_RUNGS * _log(ratio):
        raise ValueError(
            f"reduction_factor must give at most {MOST_RUNGS} rungs between grace_period = {grace_period!r} and "
            f"max_t = {max_t!r}, but got {reduction_factor!r}"
        )
    while level < end:
        levels.append(int(level) if level.denominator == 1 else float(level))
        level *= ratio
    return tuple(levels)


class Rung:
    """The values recorded at one resource level, and the trials that are paused there.

    Example
    -------
    >>> rung = Rung(level=9)
    >>> [rung.record(trial_id, value) for trial_id, value in ((0, 0.5), (1, 0.2), (2, 0.9))]
    [True, True, True]
    >>> rung.quantile(0.5), rung.num_better(0.5)
    (0.5, 1)
    >>> rung.pause(2), rung.pause(0), rung.best_paused()
    (None, None, 0)

    Parameters
    ----------
    level
        Resource level of the rung.
    """

    def __init__(self, level: float) -> None:
        self.level = level
        # Place of each trial in the order of recording, and the values in this order.
        self._order: dict[int, int] = {}
        self._values = array("d")
        self._sorted = SortedFloats()
        self._paused: set[int] = set()
        # (value, order, trial id). Trials that are no longer paused are dropped when they reach the top.
        self._paused_heap: list[tuple[float, int, int]] = []

    def __repr__(self) -> str:
        return f"Rung(level={self.level!r}, recorded={len(self)}, paused={len(self._paused)})"

    def __len__(self) -> int:
        """Number of values recorded."""
        return len(self._values)

    def __contains__(self, trial_id: object) -> bool:
        """Whether the trial has a value at this rung."""
        return trial_id in self._order

    def record(self, trial_id: int, value: float) -> bool:
        """Records the value of a trial. The first value of a trial is kept permanently.

        Parameters
        ----------
        trial_id
            The trial.
        value
            Its value, to be minimised; ``+inf`` is the worst.

        Returns
        -------
        bool
            Whether the value was recorded. It was not if the trial already has a value here.

        Raises
        ------
        ValueError
            ``value`` is NaN or ``-inf``.
        """
        if trial_id in self._order:
            return False
        value = float(value)
        if not value > -math.inf:
            raise ValueError(f"value of trial {trial_id} must be a number greater than -inf, but got {value!r}")
        self._order[trial_id] = len(self._values)
        self._values.append(value)
        self._sorted.add(value)
        return True

    def value(self, trial_id: int) -> float:
        """The value recorded for a trial.

        Raises
        ------
        KeyError
            The trial has no value at this rung.
        """
        return self._values[self._place(trial_id)]

    def quantile(self, q: float) -> float:
        """The ``q``-quantile of the values, interpolated linearly as by :func:`numpy.quantile`.

        There are two differences, so that the quantile can be used as a cutoff. If it equals a value up to rounding,
        the result is that value, so that a trial with this value meets the cutoff. If it is strictly between a finite
        value and ``+inf``, the result is the greatest finite float. So the worst trial does not meet a cutoff that only
        its own value has raised.

        Parameters
        ----------
        q
            Share of the values, from 0 to 1.

        Returns
        -------
        float
            The quantile.

        Raises
        ------
        ValueError
            ``q`` is outside of [0, 1], or nothing is recorded.
        """
        if not 0 <= q <= 1:
            raise ValueError(f"q must be from 0 to 1, but got {q!r}")
        if not self._values:
            raise ValueError(f"the rung of level {self.level!r} has no quantile: nothing is recorded")
        position = q * (len(self._values) - 1)
        nearest = round(position)
        if abs(position - nearest) <= _INTEGER_TOLERANCE * max(1.0, position):
            return self._sorted[nearest]
        below = math.floor(position)
        low, high = self._sorted[below], self._sorted[below + 1]
        if low == high:
            return low
        if high == math.inf:
            return sys.float_info.max
        share = position - below
        return low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share)

    def num_better(self, value: float) -> int:
        """Number of recorded values that are strictly smaller than ``value``."""
        return self._sorted.num_smaller(value)

    def pause(self, trial_id: int) -> None:
        """Marks a recorded trial as paused at this rung.

        Raises
        ------
        KeyError
            The trial has no value at this rung.
        """
        order = self._place(trial_id)
        if trial_id not in self._paused:
            self._paused.add(trial_id)
            heapq.heappush(self._paused_heap, (self._values[order], order, trial_id))

    def unpause(self, trial_id: int) -> None:
        """Marks a trial as no longer paused at this rung. Does nothing if it was not paused."""
        self._paused.discard(trial_id)

    def best_paused(self) -> int | None:
        """The best trial that is paused at this rung; ties in the order of recording; None if no trial is paused."""
        heap = self._paused_heap
        while heap and heap[0][2] not in self._paused:
            heapq.heappop(heap)
        return heap[0][2] if heap else None

    def _place(self, trial_id: int) -> int:
        try:
            return self._order[trial_id]
        except KeyError:
            raise KeyError(f"trial {trial_id!r} has no value at the rung of level {self.level!r}") from None


class RungLadder:
    """Rungs at ascending levels.

    Example
    -------
    >>> ladder = RungLadder(rung_levels(grace_period=1, reduction_factor=3, max_t=27))
    >>> [rung.level for rung in ladder.record(trial_id=0, resource=4, value=0.5)]
    [3, 1]

    Parameters
    ----------
    levels
        The resource levels, strictly ascending. May be empty.

    Raises
    ------
    ValueError
        The levels are not strictly ascending.
    """

    def __init__(self, levels: Iterable[float]) -> None:
        self.rungs = tuple(Rung(level) for level in levels)
        self._levels = [rung.level for rung in self.rungs]
        if any(low >= high for low, high in zip(self._levels, self._levels[1:], strict=False)):
            raise ValueError(f"levels must be strictly ascending, but got {self._levels!r}")

    def passed(self, resource: float) -> tuple[Rung, ...]:
        """The rungs whose level is at most ``resource``, the highest first."""
        return self.rungs[: bisect_right(self._levels, resource)][::-1]

    def record(self, trial_id: int, resource: float, value: float) -> tuple[Rung, ...]:
        """Records the value of a trial at every rung that it has passed and where it has no value yet.

        So if a trial skips levels between two reports, it counts in all rungs that it has passed, with the first value
        that it reported at or above each.

        Returns
        -------
        tuple
            The rungs where the value was recorded, the highest first.

        Raises
        ------
        ValueError
            ``value`` is NaN or ``-inf``.
        """
        return tuple(rung for rung in self.passed(resource) if rung.record(trial_id, value))

    def record_highest(self, trial_id: int, resource: float, value: float) -> Rung | None:
        """Records the value of a trial at the highest rung that it has passed, if it has no value there yet.

        Returns
        -------
        Rung or None
            That rung; None if there is none.

        Raises
        ------
        ValueError
            ``value`` is NaN or ``-inf``.
        """
        passed = bisect_right(self._levels, resource)
        while passed:
            passed -= 1
            rung = self.rungs[passed]
            if trial_id not in rung._order and rung.record(trial_id, value):
                return rung
        return None

    def next_level(self, trial_id: int, resource: float) -> float:
        """The level up to which :meth:`record_highest` records nothing for a trial that has reached ``resource``.

        Returns
        -------
        float
            The lowest level above ``resource``, infinite beyond the last one; ``-inf`` if the trial has passed a rung
            where it has no value yet.
        """
        passed = bisect_right(self._levels, resource)
        for rung in self.rungs[:passed]:
            if trial_id not in rung._order:
                return -math.inf
        return self._levels[passed] if passed < len(self._levels) else math.inf


def _exact(name: str, number: float) -> Fraction:
    if not is_number(number):
        raise TypeError(f"{name} must be a number, but got {number!r}")
    if isinstance(number, Integral):
        return Fraction(int(number))
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, but got {number!r}")
    return Fraction(repr(float(number)))


def _log(number: Fraction) -> float:
    return math.log(number.numerator) - math.log(number.denominator)
