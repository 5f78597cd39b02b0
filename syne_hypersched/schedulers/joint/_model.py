"""A Gaussian process over configuration and resource, as a pure function of numbers.

The value of a trial at a level is ``f0(x) + u f1(x) + a + u b + noise``. Here ``u`` falls with the level and is 0 at
the maximum resource. ``f0`` is the final value of a configuration, and ``f1`` shows how far below it earlier values
are. ``a`` and ``b`` are the corresponding terms of the individual trial. All parts are normal, so linear algebra gives
the prediction at the maximum resource.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.int64]

_SLOPE = 0.5
"""Variance of the part of ``f1`` that depends on the configuration; that of ``f0`` is 1."""
_COMMON, _COMMON_SLOPE = 1.0, 4.0
"""Variances of the parts of ``f0`` and ``f1`` that all configurations share."""
_OWN, _OWN_SLOPE = 0.05, 0.3
"""Variances of ``a`` and ``b``."""
_NOISE = 0.01
_LEAST_SPREAD = 1e-12
"""The reports of a trial have no slope if their ``u`` differ by less than the square root of this."""
_USUAL_WEIGHT = 4.0
"""The prior variance of the slopes counts as much as this number of trials."""

_MEDIAN_LENGTH, _LENGTH_SPREAD = 0.35, 0.7
_MEDIAN_NOISE, _NOISE_SPREAD = 0.05, 1.0


def matern(squares: Array, lengths: Array) -> tuple[Array, Array]:
    """Matern's covariance of order 5/2, and its derivative with respect to the squared distance, times -2.

    Parameters
    ----------
    squares
        Squared distances in each hyperparameter, of shape (hyperparameters, rows, others).
    lengths
        Length scale of each hyperparameter.
    """
    scaled = np.tensordot(1 / lengths**2, squares, axes=1)
    distance = np.sqrt(5 * scaled)
    decay = np.exp(-distance)
    return (1 + distance + 5 / 3 * scaled) * decay, 5 / 3 * (1 + distance) * decay


def covariances_of(positions: Array, others: Array) -> Array:
    """Matern's covariances of positions, whose distances are in units of the length scales.

    Parameters
    ----------
    positions, others
        Arrays of shape (rows, coordinates) and (others, coordinates), see :meth:`Encoding.positions`.
    """
    # In place, and without an array for each hyperparameter: this is most of the work of a suggestion.
    scaled = positions @ others.T
    scaled *= -2
    scaled += np.einsum("ij,ij->i", positions, positions)[:, None]
    scaled += np.einsum("ij,ij->i", others, others)
    np.maximum(scaled, 0.0, out=scaled)
    distance = np.sqrt(5 * scaled)
    scaled *= 5 / 3
    scaled += distance
    scaled += 1
    np.negative(distance, out=distance)
    scaled *= np.exp(distance, out=distance)
    return np.asarray(scaled)


@dataclass(frozen=True)
class Scales:
    """Length scales of the hyperparameters and variance of the noise, as logarithms."""

    lengths: Array
    noise: float

    @classmethod
    def prior(cls, size: int) -> Scales:
        """The most probable scales without data."""
        return cls(np.full(size, math.log(_MEDIAN_LENGTH * math.sqrt(size))), math.log(_MEDIAN_NOISE))


def fitted(squares: Array, values: Array, scales: Scales, num_steps: int) -> tuple[Scales, Array]:
    """Scales with a higher posterior probability, given one value for each configuration.

    Parameters
    ----------
    squares
        Squared distances between the configurations.
    values
        The standardised values of the configurations.
    scales
        The scales at which the search begins.
    num_steps
        Number of steps of the search (resilient propagation).

    Returns
    -------
    tuple
        The scales; and the value of each configuration as predicted from all others.
    """
    size = len(scales.lengths)
    theta = np.append(scales.lengths, scales.noise)
    centre = np.append(np.full(size, math.log(_MEDIAN_LENGTH * math.sqrt(size))), math.log(_MEDIAN_NOISE))
    spread = np.append(np.full(size, _LENGTH_SPREAD), _NOISE_SPREAD)
    step, before = np.full(size + 1, 0.3), np.zeros(size + 1)
    best = (-math.inf, theta, values)
    for _ in range(num_steps + 1):
        score, gradient, left_out = _evidence(squares, values, theta)
        score -= float((((theta - centre) / spread) ** 2).sum()) / 2
        if score > best[0]:
            best = (score, theta, left_out)
        gradient = gradient - (theta - centre) / spread**2
        agree = gradient * before
        step = np.clip(np.where(agree > 0, 1.3 * step, np.where(agree < 0, 0.5 * step, step)), 0.01, 1.0)
        before = np.where(agree < 0, 0.0, gradient)
        theta = np.clip(theta + np.sign(before) * step, centre - 4 * spread, centre + 4 * spread)
    _, theta, left_out = best
    return Scales(theta[:-1], float(theta[-1])), left_out


def _evidence(squares: Array, values: Array, theta: Array) -> tuple[float, Array, Array]:
    """Logarithm of the likelihood, its gradient, and the leave-one-out predictions."""
    lengths, noise = np.exp(theta[:-1]), math.exp(theta[-1])
    covariance, slope = matern(squares, lengths)
    covariance[np.diag_indices_from(covariance)] += noise + 1e-8
    factor = np.linalg.cholesky(covariance)
    inverse = np.linalg.inv(covariance)
    weights = inverse @ values
    score = -values @ weights / 2 - np.log(np.diag(factor)).sum()
    outer = (np.outer(weights, weights) - inverse) / 2
    by_length = np.tensordot(squares, outer * slope, axes=2) / lengths**2
    gradient = np.append(by_length, noise * np.trace(outer))
    return float(score), gradient, values - weights / np.diag(inverse)


@dataclass(frozen=True)
class Posterior:
    """The distribution of values at the maximum resource, given the reports."""

    weights: Array
    """Weight of each trial in the mean."""
    precision: Array
    """Weight of each pair of trials in the variance."""
    means: Array
    """Predicted value of each trial at the maximum resource."""
    own: float
    """Variance of the individual part of a trial."""

    @classmethod
    def of(
        cls, covariance: Array, trials: Indices, lags: Array, values: Array, own: float, crossing: float = 1.0
    ) -> Posterior:
        """Conditions the process on reports.

        Parameters
        ----------
        covariance
            Covariances between the configurations of the trials.
        trials, lags, values
            For each report: the index of its trial (ascending), its ``u`` and its value. Every trial has a report.
        own
            Variance of the individual part of a trial, if it is above the minimum.
        crossing
            How much the gains of trials vary, see :func:`crossing_of`.
        """
        own = max(own, _OWN)
        # The mean of a trial's reports contains all information, together with the slope by u if the u differ.
        starts = np.flatnonzero(np.diff(trials, prepend=-1))
        numbers = np.diff(starts, append=len(trials))
        mean_lags = np.add.reduceat(lags, starts) / numbers
        mean_values = np.add.reduceat(values, starts) / numbers
        from_mean = lags - mean_lags[trials]
        spreads = np.add.reduceat(from_mean**2, starts)
        sloped = np.flatnonzero(spreads > _LEAST_SPREAD)
        slopes = np.add.reduceat(from_mean * values, starts)[sloped] / spreads[sloped]
        # Covariances of the two parts f0 + a and f1 + b, for each pair of trials.
        of_ends = covariance + _COMMON
        _add_to_diagonal(of_ends, own)
        of_slopes = crossing * _SLOPE * covariance
        of_slopes += _COMMON_SLOPE
        _add_to_diagonal(of_slopes, crossing * _OWN_SLOPE)
        # Covariances of the means, of the slopes, and of the means with the slopes.
        matrix = np.outer(mean_lags, mean_lags)
        matrix *= of_slopes
        matrix += of_ends
        _add_to_diagonal(matrix, _NOISE / numbers)
        between = of_slopes[:, sloped]
        among = between[sloped]
        _add_to_diagonal(among, _NOISE / spreads[sloped])
        between *= mean_lags[:, None]
        # Slopes have no covariance with the value at the maximum resource, where u is 0. So only the means remain.
        solved = np.linalg.solve(among, np.column_stack([between.T, slopes]))
        matrix -= between @ solved[:, :-1]
        precision = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
        weights = precision @ (mean_values - between @ solved[:, -1])
        means = of_ends @ weights
        return cls(weights, precision, means, own)

    def mean(self, covariance: Array) -> Array:
        """Predicted values of other configurations, given their covariances with the trials."""
        return np.asarray((covariance + _COMMON) @ self.weights)

    def variances(self, covariance: Array) -> Array:
        """Variances of these predictions."""
        shared = covariance + _COMMON
        explained = np.einsum("ij,ij->i", shared @ self.precision, shared)
        return np.asarray(np.maximum(1 + _COMMON - explained, 1e-9))

    def covariances(self, covariance: Array, others: Array, between: Array) -> Array:
        """Covariances between the predictions of two sets of configurations.

        Parameters
        ----------
        covariance, others
            Covariances of each set with the trials.
        between
            Prior covariances between the two sets.
        """
        return np.asarray(between + _COMMON - (covariance + _COMMON) @ self.precision @ (others + _COMMON).T)


def _add_to_diagonal(matrix: Array, terms: Array | float) -> None:
    diagonal = np.einsum("ii->i", matrix)  # a view
    diagonal += terms


def crossing_of(trials: Indices, lags: Array, values: Array) -> float:
    """How much the gains of trials from first to last level vary: 1 is usual; 0 means that curves are parallel.

    Parameters
    ----------
    trials, lags, values
        As in :meth:`Posterior.of`. The reports of a trial follow each other.
    """
    starts = np.flatnonzero(np.diff(trials, prepend=-1))
    ends = np.append(starts[1:], len(trials)) - 1
    longer = lags[starts] - lags[ends] > 1e-6
    gains = (values[ends] - values[starts])[longer] / (lags[starts] - lags[ends])[longer]
    squares = float(((gains - np.median(gains)) ** 2).sum()) if len(gains) else 0.0
    usual = _SLOPE + _OWN_SLOPE
    return min(4.0, max(0.05, (squares / usual + _USUAL_WEIGHT) / (len(gains) + _USUAL_WEIGHT)))


def narrowed(variances: Array, with_pending: Array, of_pending: Array, own: float) -> Array:
    """Variances if the pending trials report the predicted values.

    Parameters
    ----------
    variances
        Variances of the predictions.
    with_pending, of_pending
        Covariances with the predictions of the pending trials, and between these.
    own
        Variance of the individual part of a trial.
    """
    matrix = of_pending + (own + _NOISE) * np.eye(len(of_pending))
    return np.asarray(
        np.maximum(variances - (with_pending * np.linalg.solve(matrix, with_pending.T).T).sum(axis=1), 1e-9)
    )


def expected_improvement(means: Array, variances: Array, best: float) -> Array:
    """By how much normal variables exceed a value on average."""
    deviations = np.sqrt(variances)
    z = (means - best) / deviations
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    # The distribution function of the standard normal variable, error below 1e-7 (Abramowitz and Stegun 26.2.17).
    t = 1 / (1 + 0.2316419 * np.abs(z))
    tail = density * t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    above = np.where(z > 0, 1 - tail, tail)
    return np.asarray(np.maximum(deviations * (z * above + density), 0.0))


def rank_correlation(first: Array, second: Array) -> float:
    """Spearman's rank correlation; ties have any order; 0 with fewer than three values, or if all are equal."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    ranks = [np.argsort(np.argsort(column, kind="stable"), kind="stable") for column in (first, second)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
