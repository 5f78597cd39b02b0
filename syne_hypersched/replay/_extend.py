"""Assumptions about the unknown part of a curve: no improvement, or the largest improvement of any trial."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Literal

import numpy as np

from syne_hypersched.replay._curves import KnownCurve

MOST_LEVELS = 1_000
"""Maximum number of levels with assumed values. If time is the resource, each report has its own level."""

LEAST_S = 1e-3
"""Minimum number of seconds between two reports."""

Supposition = Literal["flat", "hopeful"]
"""``"flat"``: a trial stays at its best known value. ``"hopeful"``: it gains as much as the trial that gained most over
the same levels. Both are assumptions. The truth is not known, and may even lie outside of them."""


def extended(
    curves: Sequence[KnownCurve], do_minimize: bool, supposition: Supposition
) -> dict[int, tuple[list[float], list[float], list[float]]]:
    """Extends all curves up to the highest level that any of them has.

    Parameters
    ----------
    curves
        The known curves.
    do_minimize
        Whether the metric is to be minimised.
    supposition
        The assumption about the unknown parts.

    Returns
    -------
    dict
        Levels, values and seconds of each trial. A curve that is known to the end is not changed. No values are assumed
        above the highest level that is known of any trial.
    """
    sign = 1.0 if do_minimize else -1.0
    grid = _grid(curves)
    gains = _Gains(curves, grid, sign)
    found = {}
    for curve in curves:
        levels, values, seconds = list(curve.levels), list(curve.values), list(curve.seconds)
        rate = _seconds_per_level(levels, seconds)
        best = min((sign * value for value in curve.values if math.isfinite(value)), default=math.nan)
        for level in [] if curve.is_whole else grid[bisect_right(grid, curve.last_level) :]:
            gain = 0.0 if supposition == "flat" else gains.largest(curve.last_level, level)
            seconds.append(max(rate * (level - levels[-1]), LEAST_S))
            levels.append(level)
            values.append(sign * (best - gain))
        found[curve.trial_id] = (levels, values, seconds)
    return found


def _seconds_per_level(levels: Sequence[float], seconds: Sequence[float]) -> float:
    """The median time of a unit of the resource (s)."""
    steps = [high - low for low, high in pairwise([min(0.0, levels[0]), *levels])]
    rates = [time_s / step for time_s, step in zip(seconds, steps, strict=True) if step > 0]
    return median(rates or seconds)


def _grid(curves: Sequence[KnownCurve]) -> list[float]:
    """The levels with assumed values: those of all curves, thinned out if each trial has its own levels."""
    levels = sorted({level for curve in curves for level in curve.levels})
    if len(levels) <= MOST_LEVELS:
        return levels
    chosen = np.linspace(0, len(levels) - 1, MOST_LEVELS).round().astype(int)
    return [levels[index] for index in sorted(set(chosen.tolist()))]


class _Gains:
    """The largest improvement of any curve between two levels, measured by the best value so far."""

    def __init__(self, curves: Sequence[KnownCurve], grid: Sequence[float], sign: float) -> None:
        self._grid = np.asarray(grid, dtype=float)
        #: Best value so far of each curve at each level; NaN before its first value and beyond its end.
        self._best = np.full((len(curves), len(grid)), math.nan)
        for row, curve in zip(self._best, curves, strict=True):
            best = np.fmin.accumulate(sign * np.asarray(curve.values, dtype=float))
            at = np.searchsorted(np.asarray(curve.levels, dtype=float), self._grid, side="right") - 1
            is_known = (at >= 0) & (self._grid <= curve.last_level)
            row[is_known] = best[at[is_known]]
        self._known: dict[tuple[int, int], float] = {}

    def largest(self, begin: float, end: float) -> float:
        """The largest improvement from one level to a later one; at least 0."""
        first, last = (max(0, int(np.searchsorted(self._grid, level, side="right")) - 1) for level in (begin, end))
        if (first, last) not in self._known:
            gains = self._best[:, first] - self._best[:, last]
            self._known[first, last] = float(np.nanmax(gains, initial=0.0))
        return self._known[first, last]
