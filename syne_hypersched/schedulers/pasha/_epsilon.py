"""PASHA's automatic epsilon, the distance at which two learning curves still change places (Bohdal et al., ICLR 2023).

Two trials whose curves have *criss-crossed*, one ahead, then the other, then the first again, differ by no more than
noise. Epsilon is the 90th percentile of the distances of all such pairs, measured where the two were last seen at one
epoch.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from syne_hypersched.schedulers.pasha._distances import Distances

LearningCurves: TypeAlias = dict[int, dict[float, float]]
"""Trial id to resource level to value, which is to be minimised and not NaN; ``+inf`` is the worst."""

Floats: TypeAlias = NDArray[np.float64]
Signs: TypeAlias = NDArray[np.int8]

PERCENTILE = 0.9

_NONE: Floats = np.empty(0)


class CrissCrossEpsilon:
    """Epsilon from the learning curves of all trials, brought up to date report by report.

    A pair of trials counts when both have reached some epoch in the interval ``(lower, top]`` and, going back from the
    highest such epoch ``e``, their order was once the opposite of that at ``e`` and, further back, the same again. Its
    distance is ``|p1 - p2|`` at ``e``. Three cases the paper leaves open: only epochs that both trials have reported
    are looked at; a tie is no order, neither the opposite nor the same, and a pair tied at ``e`` does not count;
    neither does a pair whose distance is infinite, because a diverged trial says nothing about noise.

    A report changes the pairs of its trial alone, and costs O(k · E) in vector operations for ``k`` trials in the
    interval and ``E`` epochs up to its end.

    Parameters
    ----------
    curves
        The learning curves. The caller goes on to enter values, calls :meth:`update` after each, and changes none.
    max_exact_pairs
        The number of pairs up to which the percentile is exact. Beyond, it is an estimate within 0.4 % until the
        interval changes; see :class:`~syne_hypersched.schedulers.pasha._distances.Distances`.
    """

    def __init__(self, curves: LearningCurves, max_exact_pairs: int = 2**23) -> None:
        self.value = 0.0
        """Epsilon: 0 until a first pair counts, and the last value when no pair counts any more."""
        self._max_exact_pairs = max_exact_pairs
        self._curves = curves
        self._clear(math.inf, math.inf)

    @property
    def is_exact(self) -> bool:
        """Whether epsilon is exact in the current interval, and not an estimate."""
        return self._distances.is_exact

    @property
    def num_pairs(self) -> int:
        """Number of pairs that count."""
        return len(self._distances)

    def set_interval(self, lower: float, top: float) -> None:
        """Changes the interval to ``(lower, top]``; epsilon changes with the next update.

        Parameters
        ----------
        lower
            Level of the lower of the two rungs that are compared.
        top
            Level of the higher of them.
        """
        self._clear(lower, top)
        for trial_id, curve in self._curves.items():
            if any(lower < resource <= top for resource in curve):
                num_before = len(self._columns)
                self._join(trial_id)
                epochs, own, theirs = self._curve_and_all(trial_id)
                first, theirs = bisect_right(epochs, lower), theirs[:, :num_before]
                distances = criss_cross_distances(own, theirs, order_signs(own, theirs), first)
                self._distances.update(distances[~np.isnan(distances)], _NONE)

    def update(self, trial_id: int, resource: float) -> float:
        """Takes a value into account that has just been entered into the curves.

        Parameters
        ----------
        trial_id
            The trial.
        resource
            Resource level of the value. Levels may be skipped and may arrive in any order.

        Returns
        -------
        float
            Epsilon.
        """
        if trial_id in self._columns:
            if resource <= self._top:
                self._fill(trial_id, resource)
                self._recount(trial_id, resource)
        elif self._lower < resource <= self._top:
            self._join(trial_id)
            self._recount(trial_id, resource)
        if len(self._distances):
            self.value = self._distances.quantile(PERCENTILE)
        return self.value

    def _clear(self, lower: float, top: float) -> None:
        self._lower, self._top = lower, top
        self._distances = Distances(self._max_exact_pairs)
        # Every trial that has reached the interval has a column. An epoch gets a row when a second such trial reports
        # it: until then it is common to no pair, and `_first_at` holds the trial. Rows are never moved; `_rows` lists
        # them in the order of `_epochs`, which ascends.
        self._columns: dict[int, int] = {}
        self._first_at: dict[float, int] = {}
        self._epochs: list[float] = []
        self._rows: list[int] = []
        self._values: Floats = np.full((4, 16), np.nan)

    def _join(self, trial_id: int) -> None:
        """Gives the trial a column with all that it has reported up to the end of the interval."""
        if len(self._columns) == self._values.shape[1]:
            self._values = np.concatenate([self._values, np.full_like(self._values, np.nan)], axis=1)
        self._columns[trial_id] = len(self._columns)
        for resource in self._curves[trial_id]:
            if resource <= self._top:
                self._fill(trial_id, resource)

    def _fill(self, trial_id: int, resource: float) -> None:
        row = self._row(resource)
        if row is None:
            first = self._first_at.setdefault(resource, trial_id)
            if first == trial_id:
                return
            row = len(self._rows)
            if row == self._values.shape[0]:
                self._values = np.concatenate([self._values, np.full_like(self._values, np.nan)], axis=0)
            position = bisect_left(self._epochs, resource)
            self._epochs.insert(position, resource)
            self._rows.insert(position, row)
            self._values[row, self._columns[first]] = self._curves[first][resource]
        self._values[row, self._columns[trial_id]] = self._curves[trial_id][resource]

    def _row(self, resource: float) -> int | None:
        position = bisect_left(self._epochs, resource)
        if position < len(self._epochs) and self._epochs[position] == resource:
            return self._rows[position]
        return None

    def _recount(self, trial_id: int, resource: float) -> None:
        """Replaces the distances of the pairs that have the trial's new epoch in common."""
        if self._row(resource) is None:
            return
        epochs, own, theirs = self._curve_and_all(trial_id)
        new, first = bisect_left(epochs, resource), bisect_right(epochs, self._lower)
        concerned = ~np.isnan(theirs[new])  # a trial is tied with itself, so that this pair never counts
        signs = order_signs(own, theirs)
        after = criss_cross_distances(own, theirs, signs, first)
        own, theirs, signs = (_without_row(array, new) for array in (own, theirs, signs))
        before = criss_cross_distances(own, theirs, signs, first - (new < first))
        self._distances.update(after[concerned & ~np.isnan(after)], before[concerned & ~np.isnan(before)])

    def _curve_and_all(self, trial_id: int) -> tuple[list[float], Floats, Floats]:
        """The epochs of the trial that have a row, ascending, its values there and those of all columns."""
        num_columns, column = len(self._columns), self._columns[trial_id]
        has_value = np.flatnonzero(~np.isnan(self._values[self._rows, column]))
        values = self._values[np.asarray(self._rows, dtype=np.intp)[has_value], :num_columns]
        return [self._epochs[i] for i in has_value], values[:, column], values


def order_signs(own: Floats, theirs: Floats) -> Signs:
    """The order of one trial and others at each epoch.

    Parameters
    ----------
    own
        Values of the trial at ``E`` epochs, shape ``(E,)``.
    theirs
        Values of ``k`` trials there, NaN where there is none, shape ``(E, k)``.

    Returns
    -------
    Signs
        1 where the value of the one trial is the greater, -1 where it is the smaller, 0 for a tie or a missing value,
        shape ``(E, k)``.
    """
    own = own[:, np.newaxis]
    return np.greater(own, theirs).view(np.int8) - np.less(own, theirs).view(np.int8)


def criss_cross_distances(own: Floats, theirs: Floats, signs: Signs, first: int) -> Floats:
    """Distances between one trial and those of the others with which it has criss-crossed.

    Parameters
    ----------
    own
        Values of the trial at ``E`` ascending epochs, shape ``(E,)``.
    theirs
        Values of ``k`` trials there, NaN where there is none, shape ``(E, k)``.
    signs
        Their :func:`order_signs`, shape ``(E, k)``.
    first
        Index of the first epoch in the interval.

    Returns
    -------
    Floats
        The distances at the highest common epoch in the interval, NaN where the pair does not count, shape ``(k,)``.
    """
    num_epochs, k = theirs.shape
    distances = np.full(k, np.nan)
    if first >= num_epochs:
        return distances
    index = np.arange(first, num_epochs, dtype=np.int32)[:, np.newaxis]
    last = np.where(np.isnan(theirs[first:]), np.int32(-1), index).max(axis=0)
    order = np.where(last >= 0, signs[last, np.arange(k)], np.int8(0))
    # A pair has no common epoch after its last one, so that the signs there are 0 and need no mask.
    same_before = np.logical_or.accumulate(signs == order, axis=0)
    crossed = np.flatnonzero((order != 0) & (same_before & (signs == -order)).any(axis=0))
    last = last[crossed]
    with np.errstate(over="ignore"):
        between = np.abs(own[last] - theirs[last, crossed])
    distances[crossed] = np.where(np.isfinite(between), between, np.nan)
    return distances


def _without_row(array: NDArray[Any], row: int) -> NDArray[Any]:
    return array[:-1] if row == len(array) - 1 else np.delete(array, row, axis=0)
