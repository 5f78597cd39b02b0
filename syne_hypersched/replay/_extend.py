"""What may be supposed of a curve beyond what was trained: nothing better, or as much as any other has gained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Literal

import numpy as np

from syne_hypersched.replay._curves import KnownCurve

LEAST_S = 1e-3
"""Seconds between two reports at least."""

Supposition = Literal["flat", "hopeful"]
"""``"flat"``: a trial stays at its best known value. ``"hopeful"``: it gains as much as the trial that gained most over
the same levels. Both are suppositions; the truth is not known, and may even be beyond them."""


def extended(
    curves: Sequence[KnownCurve], do_minimize: bool, supposition: Supposition
) -> dict[int, tuple[list[float], list[float], list[float]]]:
    """All curves up to the highest level that any of them has.

    Parameters
    ----------
    curves
        The curves as they are known.
    do_minimize
        Whether the metric is to be minimised.
    supposition
        What is supposed of unknown parts.

    Returns
    -------
    dict
        Levels, values and seconds of each trial. A curve that is whole is not changed, and nothing is supposed beyond
        the highest level that is known of any trial.
    """
    sign = 1.0 if do_minimize else -1.0
    grid = sorted({level for curve in curves for level in curve.levels})
    gains = _Gains(curves, grid, sign)
    found = {}
    for curve in curves:
        levels, values, seconds = list(curve.levels), list(curve.values), list(curve.seconds)
        rate = _seconds_per_level(levels, seconds)
        best = min((sign * value for value in curve.values if math.isfinite(value)), default=math.nan)
        for level in [] if curve.is_whole else grid[grid.index(curve.last_level) + 1 :]:
            gain = 0.0 if supposition == "flat" else gains.largest(curve.last_level, level)
            seconds.append(max(rate * (level - levels[-1]), LEAST_S))
            levels.append(level)
            values.append(sign * (best - gain))
        found[curve.trial_id] = (levels, values, seconds)
    return found


def _seconds_per_level(levels: Sequence[float], seconds: Sequence[float]) -> float:
    """The median time of a unit of the resource."""
    steps = [high - low for low, high in pairwise([min(0.0, levels[0]), *levels])]
    rates = [time_s / step for time_s, step in zip(seconds, steps, strict=True) if step > 0]
    return median(rates or seconds)


class _Gains:
    """How much the best value so far of any curve has improved between two levels, at most."""

    def __init__(self, curves: Sequence[KnownCurve], grid: Sequence[float], sign: float) -> None:
        self._index = {level: position for position, level in enumerate(grid)}
        #: Best value so far of each curve at each level; NaN before its first value and beyond its end.
        self._best = np.full((len(curves), len(grid)), math.nan)
        for row, curve in zip(self._best, curves, strict=True):
            for level, value in zip(curve.levels, curve.values, strict=True):
                row[self._index[level]] = sign * value
            row[: self._index[curve.last_level] + 1] = np.fmin.accumulate(row[: self._index[curve.last_level] + 1])
        self._known: dict[tuple[float, float], float] = {}

    def largest(self, begin: float, end: float) -> float:
        """The largest improvement from one level to a later one; at least 0."""
        if (begin, end) not in self._known:
            gains = self._best[:, self._index[begin]] - self._best[:, self._index[end]]
            self._known[begin, end] = float(np.nanmax(gains, initial=0.0))
        return self._known[begin, end]
