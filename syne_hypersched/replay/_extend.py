"""What may be supposed of a curve beyond what was trained: nothing better, or as much as any other has gained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Literal

from syne_hypersched.replay._curves import KnownCurve

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
    found = {}
    for curve in curves:
        levels, values, seconds = list(curve.levels), list(curve.values), list(curve.seconds)
        steps = [high - low for low, high in zip([min(0.0, levels[0]), *levels], levels, strict=False)]
        rate = median(time_s / step for time_s, step in zip(seconds, steps, strict=True) if step > 0) if any(
            step > 0 for step in steps
        ) else median(seconds)  # fmt: skip
        finite = [sign * value for value in curve.values if math.isfinite(value)]
        best = min(finite, default=math.nan)
        for level in [] if curve.is_whole else [level for level in grid if level > curve.last_level]:
            gain = 0.0 if supposition == "flat" else _largest_gain(curves, curve.last_level, level, sign)
            seconds.append(max(rate * (level - levels[-1]), 1e-3))
            levels.append(level)
            values.append(sign * (best - gain))
        found[curve.trial_id] = (levels, values, seconds)
    return found


def _largest_gain(curves: Sequence[KnownCurve], begin: float, end: float, sign: float) -> float:
    """How much the best value so far of any curve has improved between two levels, at most; at least 0."""
    gains = [0.0]
    for curve in curves:
        if curve.last_level < end:
            continue
        before = _best_until(curve, begin, sign)
        after = _best_until(curve, end, sign)
        if math.isfinite(before) and math.isfinite(after):
            gains.append(before - after)
    return max(gains)


def _best_until(curve: KnownCurve, level: float, sign: float) -> float:
    values = [
        sign * value
        for at, value in zip(curve.levels, curve.values, strict=True)
        if at <= level and math.isfinite(value)
    ]
    return min(values, default=math.nan)
