"""Throughput of a trial: the step-time model of Pollux, and its fit to the few sizes that a trial was seen on.

The time of one optimiser step on ``n`` devices with ``m`` samples on each is, by Qiao et al. (Pollux, OSDI 2021,
section 3.2),

    T_compute = alpha_c + beta_c * m
    T_sync    = alpha_n + beta_n * (n - 2)    (0 for n = 1)
    T         = (T_compute ** gamma + T_sync ** gamma) ** (1 / gamma)

and with ``k`` further micro-batches that are accumulated first, ``k * T_compute`` more.

A trial is seen on one to four sizes, which is fewer than there are coefficients. The fit therefore minimises the
squared error of ``log T`` plus the squared distance of the model's *shape* from a prior. The shape is what remains of
the five coefficients when the unit of time is taken away, so that trials of different speed can share one: the share of
``alpha_c`` in the compute time, ``alpha_n`` over the compute time, ``beta_n / alpha_n``, and ``gamma``.

Differences from AdaptDL: the prior takes the place of its rules for coefficients that cannot be identified (fixed to 0,
or to half of the compute time) and of its penalties on ``gamma`` and ``beta_n / alpha_n``; there is one kind of link
between devices instead of two; only whole steps have to be timed; and many trials are fitted at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from syne_hypersched.allocation.scaling import PRIOR_SERIAL_SHARE

Floats: TypeAlias = npt.NDArray[np.float64]

GAMMA_MAX = 10.0
"""Largest gamma, as in Pollux: the 10-norm is close enough to the maximum, which is perfect overlap."""

_LOWER = np.array([-np.inf, -9.0, -9.0, -9.0, 0.0])
_UPPER = np.array([np.inf, 9.0, 5.0, 3.0, math.log(GAMMA_MAX)])
"""Bounds of the coordinates of :func:`fit_shapes`; exp(9) stands for infinity."""

_NOISE = 0.02
"""Standard deviation of the logarithm of a measured step time."""

_MAX_ITERATIONS = 16
"""Steps of a fit. The few that need more are close by then, and go on from there with the next measurement."""

_TOLERANCE = 0.01
"""The fit of a trial ends when a step lowers its objective by less: that is far less than its noise, for which it is of
the order of the number of points."""

_MAX_DAMPING = 1e3
"""Damping at which a step that does not lower the objective ends the fit: the trial is at its minimum."""

_NO_SYNC = -1e3
"""Logarithm of the time of synchronisation on one device."""


@dataclass(frozen=True)
class ThroughputModel:
    """The step-time model with its five coefficients, named as in Pollux.

    Every method takes numbers or arrays, which are broadcast.
    """

    alpha_c: float
    """Seconds of compute that do not depend on the batch."""
    beta_c: float
    """Seconds of compute for each sample on a device."""
    alpha_n: float
    """Seconds of synchronisation between two devices."""
    beta_n: float
    """Seconds of synchronisation for each further device."""
    gamma: float
    """Overlap of compute and synchronisation: 1 for none; the more, the closer the step time to the longer of both."""

    def __post_init__(self) -> None:
        for name in ("alpha_c", "beta_c", "alpha_n", "beta_n"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be at least 0 and finite, but got {getattr(self, name)!r}")
        if not 1 <= self.gamma <= GAMMA_MAX:
            raise ValueError(f"gamma must be from 1 to {GAMMA_MAX:g}, but got {self.gamma!r}")
        if self.alpha_c + self.beta_c <= 0:
            raise ValueError(f"alpha_c or beta_c must be above 0, but got {self.alpha_c!r} and {self.beta_c!r}")

    def compute_time_s(self, local_batch_size: npt.ArrayLike) -> Floats:
        """``T_compute``, in seconds, of a micro-batch with so many samples on each device."""
        return self.alpha_c + self.beta_c * np.asarray(local_batch_size, dtype=float)

    def sync_time_s(self, num_devices: npt.ArrayLike) -> Floats:
        """``T_sync``, in seconds."""
        devices = np.asarray(num_devices, dtype=float)
        return np.where(devices > 1, self.alpha_n + self.beta_n * np.maximum(devices - 2, 0), 0.0)

    def step_time_s(
        self, num_devices: npt.ArrayLike, local_batch_size: npt.ArrayLike, accumulation_steps: npt.ArrayLike = 0
    ) -> Floats:
        """Seconds of one optimiser step.

        Parameters
        ----------
        num_devices
            Devices, at least 1.
        local_batch_size
            Samples of a micro-batch on each device.
        accumulation_steps
            Micro-batches of the step before its last one.
        """
        compute, sync = self.compute_time_s(local_batch_size), self.sync_time_s(num_devices)
        # Taking out the longer of both keeps the powers from overflowing.
        longer = np.maximum(compute, sync)
        ratio = np.minimum(compute, sync) / longer
        step = longer * (1 + ratio**self.gamma) ** (1 / self.gamma)
        return np.asarray(step + np.asarray(accumulation_steps) * compute)

    def throughput(
        self, num_devices: npt.ArrayLike, local_batch_size: npt.ArrayLike, accumulation_steps: npt.ArrayLike = 0
    ) -> Floats:
        """Samples per second; the arguments are those of :meth:`step_time_s`."""
        micro_batches = np.asarray(accumulation_steps) + 1
        samples = np.asarray(num_devices) * np.asarray(local_batch_size, dtype=float) * micro_batches
        return np.asarray(samples / self.step_time_s(num_devices, local_batch_size, accumulation_steps))


@dataclass(frozen=True)
class ShapePrior:
    """What is expected of a model's shape before its trial was seen on more than one size.

    The four coordinates are, in this order, ``log(alpha_c / (beta_c m_ref))``, ``log(alpha_n / T_compute(m_ref))``,
    ``log(beta_n / alpha_n)`` and ``log(gamma)``, with a reference ``m_ref`` of the samples on a device.
    """

    mean: tuple[float, float, float, float]
    spread: tuple[float, float, float, float]
    """Standard deviations, each above 0."""


DEFAULT_PRIOR = ShapePrior(
    mean=(math.log(PRIOR_SERIAL_SHARE / (1 - PRIOR_SERIAL_SHARE)), -4.0, -1.5, 0.2), spread=(1.5, 2.0, 1.0, 0.5)
)
"""The prior without any trial to learn from. Its first coordinate is the serial share that the tables published with
HyperSched imply; synchronisation is taken to cost 2 % of a step, almost as optimistic as AdaptDL, where it costs
nothing before it was measured; the last two lean, as AdaptDL's penalties do, towards little growth of it with the
devices and little overlap."""


@dataclass(frozen=True)
class StepTimes:
    """Measured step times of several trials, each array of shape (trials, points).

    A point with ``weight`` 0 counts for nothing, so that trials may have different numbers of points; every trial has
    at least one with a positive weight. The other entries of such a point must still be positive numbers.
    """

    num_devices: Floats
    local_batch_size: Floats
    """Samples of a micro-batch on each device."""
    accumulation_steps: Floats
    step_time_s: Floats
    weight: Floats
    """Number of measurements that the point stands for: its error counts ``weight`` times."""

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


def fit_throughput(
    num_devices: npt.ArrayLike,
    local_batch_size: npt.ArrayLike,
    step_time_s: npt.ArrayLike,
    accumulation_steps: npt.ArrayLike = 0,
    prior: ShapePrior = DEFAULT_PRIOR,
) -> ThroughputModel:
    """Fits the model to the step times of one trial, one of which is enough.

    Parameters
    ----------
    num_devices, local_batch_size, step_time_s, accumulation_steps
        One entry for each measured point, at least one; broadcast against each other.
    prior
        Expected shape.

    Raises
    ------
    ValueError
        There is no point, or an entry is not finite and positive (``accumulation_steps``: at least 0).
    """
    columns = np.broadcast_arrays(
        np.atleast_1d(np.asarray(num_devices, dtype=float)), local_batch_size, accumulation_steps, step_time_s
    )
    devices, local, accumulated, seconds = (np.array(column, dtype=float, ndmin=2) for column in columns)
    times = StepTimes(devices, local, accumulated, seconds, np.ones_like(seconds))
    reference = float(np.exp(np.log(local * devices).mean()))
    return shape_model(fit_shapes(times, reference, _tiled(prior, 1))[0], reference)


def fit_shapes(
    times: StepTimes,
    reference_batch_size: float,
    prior: tuple[Floats, Floats],
    start: Floats | None = None,
) -> Floats:
    """Fits the models of many trials at once, by one bounded Levenberg-Marquardt method for all of them.

    Parameters
    ----------
    times
        Measured step times.
    reference_batch_size
        The samples ``m_ref`` on a device for which the shape is expressed.
    prior
        Mean and standard deviation of the shape, each of shape (trials, 4).
    start
        Where to start: an earlier answer of shape (trials, 5), NaN for trials that have none. By default the prior.

    Returns
    -------
    array
        Of shape (trials, 5): the logarithm of ``T_compute(m_ref)``, then the shape as in :class:`ShapePrior`.
    """
    mean, spread = prior
    theta = np.concatenate([np.zeros((len(mean), 1)), np.clip(mean, _LOWER[1:], _UPPER[1:])], axis=1)
    relative_batch, log_time = times.local_batch_size / reference_batch_size, np.log(times.step_time_s)
    root = np.sqrt(times.weight) / _NOISE
    # With the shape of the prior the time scale that fits best is a weighted mean.
    error = _log_step_time(theta, times, relative_batch)[0] - log_time
    theta[:, 0] = -(error * times.weight).sum(axis=1) / times.weight.sum(axis=1)
    if start is not None:
        theta = np.where(np.isfinite(start).all(axis=1, keepdims=True), start, theta)
    precision = np.concatenate([np.zeros((len(mean), 1)), spread**-2.0], axis=1)
    centre = np.concatenate([np.zeros((len(mean), 1)), mean], axis=1)

    def evaluate(point: Floats) -> tuple[Floats, Floats, Floats]:
        """Value of the objective, half of its gradient, and the Gauss-Newton matrix."""
        predicted, jacobian = _log_step_time(point, times, relative_batch)
        residual, jacobian = (predicted - log_time) * root, jacobian * root[:, None]
        shift = (point - centre) * precision
        value = (residual**2).sum(axis=1) + ((point - centre) * shift).sum(axis=1)
        gradient = np.einsum("tjp,tp->tj", jacobian, residual) + shift
        matrix = jacobian @ jacobian.transpose(0, 2, 1)
        matrix[:, range(5), range(5)] += precision
        return value, gradient, matrix

    value, gradient, matrix = evaluate(theta)
    damping = np.full(len(theta), 1e-3)
    for _ in range(_MAX_ITERATIONS):
        # A coordinate at a bound that the objective pushes against stays there.
        fixed = ((theta <= _LOWER) & (gradient > 0)) | ((theta >= _UPPER) & (gradient < 0))
        damped = np.where(fixed[:, :, None] | fixed[:, None, :], 0.0, matrix)
        diagonal = np.where(fixed, 1.0, matrix[:, range(5), range(5)])
        damped[:, range(5), range(5)] = diagonal * (1 + damping[:, None])
        step = np.linalg.solve(damped, np.where(fixed, 0.0, -gradient)[:, :, None])[:, :, 0]
        proposed = np.clip(theta + step, _LOWER, _UPPER)
        new_value, new_gradient, new_matrix = evaluate(proposed)
        better = new_value <= value
        # A step that is too long says nothing: the next one, damped more, decides.
        done = np.where(better, value - new_value <= _TOLERANCE, damping > _MAX_DAMPING)
        theta = np.where(better[:, None], proposed, theta)
        value = np.where(better, new_value, value)
        gradient = np.where(better[:, None], new_gradient, gradient)
        matrix = np.where(better[:, None, None], new_matrix, matrix)
        damping = np.where(better, damping / 8, damping * 8)
        if done.all():
            break
    return theta


def shape_model(theta: Floats, reference_batch_size: float) -> ThroughputModel:
    """The model of one trial, from the coordinates that :func:`fit_shapes` gives for it."""
    log_scale, odds, log_sync, log_growth, log_gamma = (float(coordinate) for coordinate in theta)
    scale, serial = math.exp(log_scale), 1 / (1 + math.exp(-odds))
    alpha_n = scale * math.exp(log_sync)
    return ThroughputModel(
        alpha_c=scale * serial,
        beta_c=scale * (1 - serial) / reference_batch_size,
        alpha_n=alpha_n,
        beta_n=alpha_n * math.exp(log_growth),
        gamma=min(max(math.exp(log_gamma), 1.0), GAMMA_MAX),
    )


def _tiled(prior: ShapePrior, num_trials: int) -> tuple[Floats, Floats]:
    return np.tile(prior.mean, (num_trials, 1)), np.tile(prior.spread, (num_trials, 1))


def _log_step_time(theta: Floats, times: StepTimes, relative_batch: Floats) -> tuple[Floats, Any]:
    """``log T`` of shape (trials, points), and its derivatives of shape (trials, 5, points)."""
    log_scale, odds, log_sync, log_growth, log_gamma = theta.T[:, :, None]
    serial, gamma = 1 / (1 + np.exp(-odds)), np.exp(log_gamma)
    compute = serial + (1 - serial) * relative_batch
    growth = np.exp(log_growth) * np.maximum(times.num_devices - 2, 0)
    log_compute = np.log(compute)
    log_synced = np.where(times.num_devices > 1, log_sync + np.log1p(growth), _NO_SYNC)
    both = np.logaddexp(gamma * log_compute, gamma * log_synced) / gamma
    share_synced = np.exp(gamma * (log_synced - both))
    share_compute = 1 - share_synced
    d_compute = (1 - relative_batch) * serial * (1 - serial) / compute
    # Micro-batches before the last one are compute alone.
    with np.errstate(divide="ignore"):
        total = np.logaddexp(both, np.log(times.accumulation_steps) + log_compute)
    last = np.exp(both - total)
    derivatives = np.stack(
        [
            np.ones_like(total),
            (last * share_compute + 1 - last) * d_compute,
            last * share_synced,
            last * share_synced * growth / (1 + growth),
            last * (share_compute * log_compute + share_synced * np.maximum(log_synced, log_sync) - both),
        ],
        axis=1,
    )
    return log_scale + total, derivatives
