"""Fits step-time models with bounds: many trials at once, each with few points, with a prior.

Five coordinates of the model of :mod:`~syne_hypersched.allocation.throughput` are fitted. One is the logarithm of
``T_compute(m_ref)`` for a reference ``m_ref`` of the samples on a device. The other four are the *shape*, which has no
unit: ``log(alpha_c / (beta_c m_ref))``, ``log(alpha_n / T_compute(m_ref))``, ``log(beta_n / alpha_n)``, ``log(gamma)``.

``scipy.optimize.least_squares`` finds the same minima (the tests compare), one trial at a time. Times of a fit from the
prior on one core of a busy machine (median of five): for 1 trial 16 ms here and 63 ms there, for 8 trials 23 and
547 ms, for 32 trials 28 and 2,168 ms. A decision should take 5 ms on an idle core with 8 live trials. scipy is far from
this.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

GAMMA_MAX = 10.0
"""Largest gamma, as in Pollux. The 10-norm is close to the maximum, which means perfect overlap."""

_LOWER = np.array([-np.inf, -9.0, -9.0, -9.0, 0.0])
_UPPER = np.array([np.inf, 9.0, 5.0, 3.0, math.log(GAMMA_MAX)])
"""Upper bounds of the coordinates of :func:`fit_shapes`; exp(9) represents infinity."""

_NOISE = 0.02
"""Standard deviation of the logarithm of a measured step time."""

_MAX_ITERATIONS = 10
"""Maximum number of steps of a fit, which continues with the next measurement. Few trials need more steps."""

_TOLERANCE = 0.01
"""The fit of a trial ends when a step lowers its objective by less than this. The noise of the objective is much
larger: about the number of points."""

_LONGEST_STEP = 2.0
"""Maximum change of a coordinate in one step. Beyond this, the model is not nearly linear."""

_MAX_DAMPING = 1e3
"""If a step with this damping does not lower the objective, the fit ends: the trial is at its minimum."""

_NO_SYNC = -1e3
"""Logarithm of the synchronisation time on one device."""


_SYNC_HEAVY = -1.0
"""``log(alpha_n / T_compute)`` of the second start of every fit. If step times level off with more devices, the cause
may be compute that does not shrink, or synchronisation. Either can be a minimum; the prior leads to the first one."""


@dataclass(frozen=True)
class StepTimes:
    """Measured step times of several trials, as arrays of shape (trials, points).

    A point with ``weight`` 0 is ignored, so trials may have different numbers of points. Every trial has at least one
    point with a positive weight. The other entries of an ignored point must still be positive numbers.
    """

    num_devices: Floats
    local_batch_size: Floats
    """Number of samples in a micro-batch on each device."""
    accumulation_steps: Floats
    step_time_s: Floats
    weight: Floats
    """Number of measurements that the point represents: its error counts ``weight`` times."""

    def __post_init__(self) -> None:
        shape = self.num_devices.shape
        for name in ("num_devices", "local_batch_size", "accumulation_steps", "step_time_s", "weight"):
            entries, may_be_zero = getattr(self, name), name in ("accumulation_steps", "weight")
            if entries.ndim != 2 or entries.shape != shape:
                raise ValueError(f"{name} must be of shape (trials, points) = {shape}, but got shape {entries.shape}")
            if not np.isfinite(entries).all() or (entries < 0).any() or (not may_be_zero and (entries == 0).any()):
                rule = "at least 0" if may_be_zero else "above 0"
                raise ValueError(f"{name} must be {rule} and finite, but got {entries.tolist()!r}")
        if not (self.weight > 0).any(axis=1).all():
            raise ValueError(
                f"weight must be above 0 at one point of every trial at least, but got {self.weight.tolist()!r}"
            )


def fit_shapes(
    times: StepTimes,
    reference_batch_size: float,
    prior: tuple[Floats, Floats],
    start: Floats | None = None,
    max_iterations: int = _MAX_ITERATIONS,
) -> Floats:
    """Fits the models of many trials at once, by one bounded Levenberg-Marquardt method for all of them.

    For every trial, it minimises the sum of two terms: the squared error of ``log T``, in units of the noise of a
    measured time, and the squared distance of the shape from its prior, in units of the prior's spread. Each trial is
    fitted from two starts, and the better result is used.

    Parameters
    ----------
    times
        Measured step times.
        The number of samples ``m_ref`` on a device to which the shape refers.
        The samples ``m_ref`` on a device for which the shape is expressed.
    prior
        Mean and standard deviation of the shape, each of shape (trials, 4).
    start
        Where to start: an earlier result of shape (trials, 5), NaN for trials without one. Default: the prior.
    max_iterations
        Maximum number of steps of a fit.

    Returns
    -------
    array
        Of shape (trials, 5): the coordinates.
    """
    mean, spread = prior
    num_trials = len(mean)
    first = np.concatenate([np.zeros((num_trials, 1)), mean], axis=1)
    objective = _Objective(
        num_devices=times.num_devices,
        relative_batch=times.local_batch_size / reference_batch_size,
        accumulation_steps=times.accumulation_steps,
        log_time=np.log(times.step_time_s),
        root=np.sqrt(times.weight) / _NOISE,
        centre=first,
        precision=np.concatenate([np.zeros((num_trials, 1)), spread**-2.0], axis=1),
    )
    second = first.copy()
    second[:, 2] = np.maximum(mean[:, 1], _SYNC_HEAVY)
    first, second = objective.scaled(first), objective.scaled(second)
    if start is not None:
        first = np.where(np.isfinite(start).all(axis=1, keepdims=True), start, first)
    both = np.clip(np.concatenate([first, second]), _LOWER, _UPPER)
    theta, value = _minimised(objective.of(np.tile(np.arange(num_trials), 2)), both, max_iterations)
    better = value[:num_trials] <= value[num_trials:]
    return np.where(better[:, None], theta[:num_trials], theta[num_trials:])


@dataclass(frozen=True)
class _Objective:
    """The objective for all trials at once: arrays of shape (trials, points) and (trials, 5)."""

    num_devices: Floats
    relative_batch: Floats
    accumulation_steps: Floats
    log_time: Floats
    root: Floats
    """Square root of the weight of a point's squared error."""
    centre: Floats
    precision: Floats

    def of(self, rows: npt.NDArray[Any]) -> _Objective:
        """The objective of the trials that an index selects."""
        return _Objective(**{name: entries[rows] for name, entries in vars(self).items()})

    def predicted(self, theta: Floats) -> tuple[Floats, Floats]:
        """``log T`` and its derivatives."""
        return log_step_time(theta, self.num_devices, self.relative_batch, self.accumulation_steps)

    def scaled(self, theta: Floats) -> Floats:
        """The coordinates with the time scale that fits best to their shape (a weighted mean)."""
        error, weight = self.predicted(theta)[0] - self.log_time, self.root**2
        shift = (error * weight).sum(axis=1, keepdims=True) / weight.sum(axis=1, keepdims=True)
        return np.asarray(theta - shift * (np.arange(5) == 0))

    def __call__(self, theta: Floats) -> tuple[Floats, Floats, Floats]:
        """Value of the objective, half of its gradient, and the Gauss-Newton matrix."""
        predicted, jacobian = self.predicted(theta)
        residual, jacobian = (predicted - self.log_time) * self.root, jacobian * self.root[:, None]
        distance = theta - self.centre
        pull = distance * self.precision
        value = (residual**2).sum(axis=1) + (distance * pull).sum(axis=1)
        gradient = (jacobian @ residual[:, :, None])[:, :, 0] + pull
        matrix = jacobian @ jacobian.transpose(0, 2, 1)
        matrix[:, range(5), range(5)] += self.precision
        return value, gradient, matrix


def _minimised(objective: _Objective, theta: Floats, max_iterations: int) -> tuple[Floats, Floats]:
    """Coordinates near the start that minimise the objective within the bounds, and the values of the objective."""
    value, gradient, matrix = objective(theta)
    damping = np.full(len(theta), 1e-3)
    # Rows that are still being fitted. The others are finished.
    rows, end, least = np.arange(len(theta)), theta.copy(), value.copy()
    for _ in range(max_iterations):
        damped = matrix.copy()
        damped[:, range(5), range(5)] *= 1 + damping[:, None]
        # A coordinate stays at its bound if the objective pushes it beyond the bound.
        fixed = ((theta <= _LOWER) & (gradient > 0)) | ((theta >= _UPPER) & (gradient < 0))
        step = _newton_steps(damped, gradient, fixed, np.zeros_like(theta))
        step *= np.minimum(1, _LONGEST_STEP / np.maximum(np.abs(step).max(axis=1), _LONGEST_STEP))[:, None]
        # A coordinate that would pass its bound goes to the bound, and the others are optimised.
        passing = (theta + step < _LOWER) | (theta + step > _UPPER)
        if passing.any():
            to_bound = np.where(passing, np.clip(theta + step, _LOWER, _UPPER) - theta, 0.0)
            step = _newton_steps(damped, gradient, fixed | passing, to_bound)
        proposed = np.clip(theta + step, _LOWER, _UPPER)
        new_value, new_gradient, new_matrix = objective(proposed)
        better = new_value <= value
        # A heavily damped step gains little even far from the minimum, so a small gain is no sign of convergence.
        going_on = np.where(better, (value - new_value > _TOLERANCE) | (damping > 1), damping <= _MAX_DAMPING)
        theta = np.where(better[:, None], proposed, theta)
        value = np.where(better, new_value, value)
        gradient = np.where(better[:, None], new_gradient, gradient)
        matrix = np.where(better[:, None, None], new_matrix, matrix)
        damping = np.where(better, damping / 8, damping * 8)
        end[rows], least[rows] = theta, value
        if not going_on.all():
            if not going_on.any():
                break
            objective = objective.of(going_on)
            rows, theta, value = rows[going_on], theta[going_on], value[going_on]
            gradient, matrix, damping = gradient[going_on], matrix[going_on], damping[going_on]
    return end, least


def _newton_steps(matrix: Floats, gradient: Floats, given: npt.NDArray[np.bool_], step: Floats) -> Floats:
    """The steps of all trials. The coordinates ``given`` are taken from ``step``, whose other coordinates are 0."""
    right = -gradient - (matrix @ step[:, :, None])[:, :, 0]
    free = np.where(given[:, :, None] | given[:, None, :], np.eye(5), matrix)
    return np.asarray(np.linalg.solve(free, np.where(given, 0.0, right)[:, :, None])[:, :, 0] + step)


def log_step_time(
    theta: Floats, num_devices: Floats, relative_batch: Floats, accumulation_steps: Floats
) -> tuple[Floats, Floats]:
    """The logarithm of the step time of many trials, and its derivatives.

    Parameters
    ----------
    theta
        Coordinates of the models, of shape (trials, 5).
    num_devices, relative_batch, accumulation_steps
        Number of devices, samples on a device divided by the reference, and micro-batches before the last one, each of
        shape (trials, points).

    Returns
    -------
    tuple
        ``log T`` of shape (trials, points), and its derivatives by the coordinates, of shape (trials, 5, points).
    """
    log_scale, odds, log_sync, log_growth, log_gamma = theta.T[:, :, None]
    serial, gamma = 1 / (1 + np.exp(-odds)), np.exp(log_gamma)
    compute = serial + (1 - serial) * relative_batch
    growth = np.exp(log_growth) * np.maximum(num_devices - 2, 0)
    log_compute = np.log(compute)
    log_synced = np.where(num_devices > 1, log_sync + np.log1p(growth), _NO_SYNC)
    both = np.logaddexp(gamma * log_compute, gamma * log_synced) / gamma
    share_synced = np.exp(gamma * (log_synced - both))
    share_compute = 1 - share_synced
    total = both
    if accumulation_steps.any():
        # Micro-batches before the last one need only compute time.
        with np.errstate(divide="ignore"):
            total = np.logaddexp(both, np.log(accumulation_steps) + log_compute)
    last = np.exp(both - total)
    derivatives = np.empty((len(theta), 5, num_devices.shape[1]))
    derivatives[:, 0] = 1.0
    derivatives[:, 1] = (1 - last * share_synced) * (1 - relative_batch) * serial * (1 - serial) / compute
    derivatives[:, 2] = last * share_synced
    derivatives[:, 3] = derivatives[:, 2] * growth / (1 + growth)
    derivatives[:, 4] = last * (share_compute * log_compute + share_synced * log_synced - both)
    return log_scale + total, derivatives
