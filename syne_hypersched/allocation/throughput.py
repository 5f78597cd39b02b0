"""Throughput of a trial: the step-time model of Pollux, fitted to the few sizes on which a trial was seen.

The time of one optimiser step on ``n`` devices, with ``m`` samples on each, is (Qiao et al., Pollux, OSDI 2021, section
3.2)

    T_compute = alpha_c + beta_c * m
    T_sync    = alpha_n + beta_n * (n - 2)    (0 for n = 1)
    T         = (T_compute ** gamma + T_sync ** gamma) ** (1 / gamma)

plus ``k * T_compute`` if ``k`` further micro-batches are accumulated first.

A trial is seen on one to four sizes, and there are more coefficients. So the fit minimises the squared error of ``log
T`` plus the squared distance of the model's *shape* from a prior. The shape is the part of the five coefficients that
does not depend on the unit of time, so trials of different speed can share a shape: the share of ``alpha_c`` in the
compute time, ``alpha_n`` divided by the compute time, ``beta_n / alpha_n``, and ``gamma``.

Differences from AdaptDL: the prior replaces its rules for coefficients that cannot be identified (fixed to 0, or to
half of the compute time) and its penalties on ``gamma`` and ``beta_n / alpha_n``. There is one kind of link between
devices, and not two. Only whole steps have to be timed. Many trials are fitted at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from syne_hypersched.allocation._shape_fit import GAMMA_MAX, Floats, StepTimes, fit_shapes
from syne_hypersched.allocation.scaling import PRIOR_SERIAL_SHARE

_MAX_ITERATIONS = 50
"""Maximum number of steps of the fit of a single trial, which ends long before."""


@dataclass(frozen=True)
class ThroughputModel:
    """The step-time model with its five coefficients, named as in Pollux.

    Example
    -------
    >>> model = ThroughputModel(alpha_c=0.01, beta_c=0.001, alpha_n=0.02, beta_n=0.0, gamma=1.0)
    >>> model.step_time_s([1, 4], [128, 32]).round(3).tolist()
    [0.138, 0.062]

    Every method accepts numbers or arrays, which are broadcast.
    """

    alpha_c: float
    """Seconds of compute that do not depend on the batch size."""
    beta_c: float
    """Seconds of compute for each sample on a device."""
    alpha_n: float
    """Seconds of synchronisation between two devices."""
    beta_n: float
    """Seconds of synchronisation for each further device."""
    gamma: float
    """Overlap of compute and synchronisation. 1: none. The larger, the closer a step time is to the longer of both."""

    def __post_init__(self) -> None:
        for name in ("alpha_c", "beta_c", "alpha_n", "beta_n"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be at least 0 and finite, but got {getattr(self, name)!r}")
        if not 1 <= self.gamma <= GAMMA_MAX:
            raise ValueError(f"gamma must be from 1 to {GAMMA_MAX:g}, but got {self.gamma!r}")
        if self.alpha_c + self.beta_c <= 0:
            raise ValueError(f"alpha_c or beta_c must be above 0, but got {self.alpha_c!r} and {self.beta_c!r}")

    def compute_time_s(self, local_batch_size: npt.ArrayLike) -> Floats:
        """``T_compute`` in seconds, for a micro-batch with this number of samples on each device."""
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
            Number of devices, at least 1.
        local_batch_size
            Number of samples in a micro-batch on each device.
        accumulation_steps
            Number of micro-batches of the step before its last one.
        """
        compute, sync = self.compute_time_s(local_batch_size), self.sync_time_s(num_devices)
        # Dividing by the longer of both avoids an overflow of the powers.
        longer = np.maximum(compute, sync)
        ratio = np.minimum(compute, sync) / longer
        step = longer * (1 + ratio**self.gamma) ** (1 / self.gamma)
        return np.asarray(step + np.asarray(accumulation_steps) * compute)

    def throughput(
        self, num_devices: npt.ArrayLike, local_batch_size: npt.ArrayLike, accumulation_steps: npt.ArrayLike = 0
    ) -> Floats:
        """Samples per second. For the arguments, see :meth:`step_time_s`."""
        micro_batches = np.asarray(accumulation_steps) + 1
        samples = np.asarray(num_devices) * np.asarray(local_batch_size, dtype=float) * micro_batches
        return np.asarray(samples / self.step_time_s(num_devices, local_batch_size, accumulation_steps))


@dataclass(frozen=True)
class ShapePrior:
    """The expected shape of a model, before its trial was seen on more than one size.

    Example
    -------
    >>> ShapePrior(mean=(-2.7, -4.0, -1.5, 0.2), spread=(1.5, 2.0, 1.0, 0.5)).spread[0]
    1.5

    The four coordinates are ``log(alpha_c / (beta_c m_ref))``, ``log(alpha_n / T_compute(m_ref))``,
    ``log(beta_n / alpha_n)`` and ``log(gamma)``, in this order. ``m_ref`` is a reference number of samples on a device.
    """

    mean: tuple[float, float, float, float]
    spread: tuple[float, float, float, float]
    """Standard deviations, each above 0."""


DEFAULT_PRIOR = ShapePrior(
    mean=(math.log(PRIOR_SERIAL_SHARE / (1 - PRIOR_SERIAL_SHARE)), -4.0, -1.5, 0.2), spread=(1.5, 2.0, 1.0, 0.5)
)
"""The prior if there is no trial to learn from. Its first coordinate is the serial share that the tables published with
HyperSched imply. Synchronisation is assumed to cost 2 % of a step. This is almost as optimistic as AdaptDL, where it
costs nothing until it is measured. The last two coordinates favour, as AdaptDL's penalties do, little growth of
synchronisation with the devices and little overlap."""


def fit_throughput(
    num_devices: npt.ArrayLike,
    local_batch_size: npt.ArrayLike,
    step_time_s: npt.ArrayLike,
    accumulation_steps: npt.ArrayLike = 0,
    prior: ShapePrior = DEFAULT_PRIOR,
) -> ThroughputModel:
    """Fits the model to the step times of one trial. One step time is enough.

    Parameters
    ----------
    num_devices, local_batch_size, step_time_s, accumulation_steps
        One entry for each measured point, at least one; arrays are broadcast against each other.
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
    expected = np.array([prior.mean]), np.array([prior.spread])
    theta = fit_shapes(times, reference, expected, max_iterations=_MAX_ITERATIONS)
    return shape_model(theta[0], reference)


def shape_model(theta: Floats, reference_batch_size: float) -> ThroughputModel:
    """The model of one trial, from its coordinates in :mod:`~syne_hypersched.allocation._shape_fit`."""
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
