"""Means, their confidence intervals, and paired differences. Pure functions of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval."""

    mean: float
    """NaN without values."""
    half_width: float
    """Half-width of the interval; NaN with fewer than two values, from which no interval can be computed."""
    num_values: int

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.mean + self.half_width


@dataclass(frozen=True)
class PairedDifference:
    """The advantage of one scheduler over another on the same seeds."""

    gain: Interval
    """Difference of the metric; positive if the scheduler was better, even if the metric is minimised."""
    wins: int
    ties: int
    losses: int


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean and Student's t interval of independent values; NaN values are left out.

    Parameters
    ----------
    values
        The values.
    level
        Confidence level, between 0 and 1.

    Raises
    ------
    ValueError
        ``level`` is out of range.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, but got {level!r}")
    known = np.asarray([value for value in values if not math.isnan(value)], dtype=float)
    if len(known) < 2:
        return Interval(float(known[0]) if len(known) else math.nan, math.nan, len(known))
    return Interval(float(known.mean()), float(t_half_width(known.std(ddof=1), len(known), level)), len(known))


def t_half_width(standard_deviation: npt.ArrayLike, num_values: int, level: float = 0.95) -> npt.NDArray[np.float64]:
    """Half of the width of Student's t interval of a mean.

    Parameters
    ----------
    standard_deviation
        Standard deviation of the values, with ``num_values - 1`` degrees of freedom; any shape.
    num_values
        Number of values, at least 2.
    level
        Confidence level.
    """
    quantile = stdtrit(num_values - 1, (1 + level) / 2)
    return np.asarray(quantile * np.asarray(standard_deviation, dtype=float) / math.sqrt(num_values))


def paired_difference(
    values: Sequence[float], reference: Sequence[float], do_minimize: bool, level: float = 0.95
) -> PairedDifference:
    """Compares two schedulers seed by seed. Pairs with a NaN are left out.

    Parameters
    ----------
    values, reference
        The metric of the scheduler and of the reference, in the same order of seeds.
    do_minimize
        Whether the metric is minimised.
    level
        Confidence level.

    Raises
    ------
    ValueError
        The lengths differ.
    """
    if len(values) != len(reference):
        raise ValueError(f"values and reference must be of one length, but got {len(values)} and {len(reference)}")
    sign = -1.0 if do_minimize else 1.0
    gains = [sign * (value - other) for value, other in zip(values, reference, strict=True)]
    return PairedDifference(
        gain=mean_interval(gains, level),
        wins=sum(gain > 0 for gain in gains),
        ties=sum(gain == 0 for gain in gains),
        losses=sum(gain < 0 for gain in gains),
    )
