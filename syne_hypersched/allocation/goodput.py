"""Goodput: throughput times statistical efficiency; the batch size that maximises it; a policy for devices.

Definitions of Qiao et al. (Pollux, OSDI 2021, section 3): the goodput of a trial on ``n`` devices with the global batch
``M`` is ``throughput(n, M) * efficiency(M)``, its number of useful samples per second.

**Policy.** Pollux maximises the sum of the speed-ups of independent jobs. The trials of a search compete: only the best
of them at the deadline counts. So the policy ``goodput`` maximises

    sum over live trials of  log(resource at the deadline) / rank

where the best trial has rank 1. The logarithm counts progress as successive halving does, whose rungs have a constant
ratio: each rung is worth as much as the one before and takes ``eta`` times as long. The weight ``1 / rank`` is the
share that a perfect ranking gives in successive halving: it trains the trial of rank k among K until ``r * K / k``. If
devices are divisible and scaling is linear, the maximum of the sum gives each trial progress in exactly this proportion
(weighted proportional fairness, Kelly 1997).

**Launches.** A trial that changes its size trains for the time left minus one launch. As in the resize rule, a change
needs a progress that is :const:`~syne_hypersched.allocation.resize.MIN_GAIN` times as large as without a change.

**Exact.** The maximum is found by dynamic programming over trials and devices. Giving each device to the trial with the
largest marginal gain would be exact only for concave gains, and these gains are not concave: the second device costs
synchronisation and the launch, further devices add little cost, some sizes are slower than smaller ones, and the grid
of sizes has gaps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from syne_hypersched.allocation._shape_fit import Floats
from syne_hypersched.allocation.policies import rank
from syne_hypersched.allocation.resize import MIN_GAIN
from syne_hypersched.allocation.throughput import ThroughputModel

Rates: TypeAlias = Floats
"""Resource per second of a trial on 1, 2, ... devices, as an array of shape (sizes,)."""

_CANDIDATES = 50
"""Number of batch sizes to compare, as in AdaptDL. Neighbours differ by 5 % if the largest is ten times the initial."""


def efficiency(batch_size: npt.ArrayLike, initial_batch_size: float, noise_scale: float) -> Floats:
    """Statistical efficiency: progress per sample, relative to the initial batch.

    With the noise scale ``B`` (McCandlish et al., 2018), it is ``(B + initial) / (B + batch)``. This is Pollux's
    ``(var + sqr) / (var / s + sqr) / s`` with ``s = batch / initial`` and ``B = initial * var / sqr``.

    Parameters
    ----------
    batch_size
        Global batch size.
    initial_batch_size
        Global batch size at which the efficiency is 1.
    noise_scale
        Gradient noise scale in samples, at least 0. With infinity, all batches are equally efficient.
    """
    batch = np.asarray(batch_size, dtype=float)
    if noise_scale == math.inf:
        return np.ones_like(batch)
    return np.asarray((noise_scale + initial_batch_size) / (noise_scale + batch))


@dataclass(frozen=True)
class BatchLimits:
    """The batch sizes that a trial may choose from.

    Example
    -------
    >>> BatchLimits(initial=128, largest=1024).largest_local is None
    True

    Raises
    ------
    ValueError
        A size is below 1, or ``largest`` is below ``initial``.
    """

    initial: int
    """Global batch size that the user has given; also the smallest size."""
    largest: int
    """Largest global batch size."""
    largest_local: int | None = None
    """Number of samples that fit into the memory of a device at once. None: any number."""

    def __post_init__(self) -> None:
        if self.initial < 1:
            raise ValueError(f"initial must be at least 1, but got {self.initial!r}")
        if self.largest < self.initial:
            raise ValueError(f"largest must be at least initial = {self.initial!r}, but got {self.largest!r}")
        if self.largest_local is not None and self.largest_local < 1:
            raise ValueError(f"largest_local must be at least 1, but got {self.largest_local!r}")


@dataclass(frozen=True)
class BatchPlans:
    """The best training plan for each of several numbers of devices, as arrays of shape (sizes,).

    Example
    -------
    >>> model = ThroughputModel(alpha_c=0.01, beta_c=0.001, alpha_n=0.02, beta_n=0.001, gamma=1.0)
    >>> plans = best_batches(model, noise_scale=1000.0, num_devices=[1, 4], limits=BatchLimits(128, 1024))
    >>> plans.num_devices.tolist(), bool(plans.goodput[1] > plans.goodput[0])
    ([1, 4], True)
    """

    num_devices: npt.NDArray[np.int64]
    local_batch_size: npt.NDArray[np.int64]
    """Number of samples in a micro-batch on each device."""
    accumulation_steps: npt.NDArray[np.int64]
    """Number of micro-batches before the last one of a step."""
    goodput: Floats
    """Useful samples per second."""

    @property
    def batch_size(self) -> npt.NDArray[np.int64]:
        """Global batch sizes."""
        return self.num_devices * self.local_batch_size * (self.accumulation_steps + 1)


def best_batches(
    model: ThroughputModel, noise_scale: float, num_devices: npt.ArrayLike, limits: BatchLimits
) -> BatchPlans:
    """The batch sizes with the greatest goodput within the limits, for each of several numbers of devices.

    Every device has the same number of samples. So the global batch is rounded up to a multiple of the devices times
    the micro-batches. If the samples do not fit into a device, they are split into micro-batches.

    Difference from AdaptDL: a single device need not accumulate, since its noise scale is measured, too.

    Parameters
    ----------
    model
        The model of step times.
    noise_scale
        Gradient noise scale in samples.
    num_devices
        Array of shape (sizes,).
    limits
        The user's limits. With more devices than ``limits.largest``, each device still has one sample.
    """
    devices = np.atleast_1d(np.asarray(num_devices, dtype=np.int64))
    candidates = np.geomspace(limits.initial, limits.largest, _CANDIDATES if limits.largest > limits.initial else 1)
    on_device = candidates[:, None] / devices
    largest_local = limits.largest_local or limits.largest
    slack = 1e-9
    micro_batches = np.ceil(on_device / largest_local - slack).astype(np.int64).clip(1)
    local = np.ceil(on_device / micro_batches - slack).astype(np.int64).clip(1)
    batch = devices * local * micro_batches
    goodput = model.throughput(devices, local, micro_batches - 1) * efficiency(batch, limits.initial, noise_scale)
    # Rounding up may exceed the limit. The smallest candidate is kept, since some batch must be used.
    goodput[1:][batch[1:] > limits.largest] = 0.0
    best = goodput.argmax(axis=0), np.arange(len(devices))
    return BatchPlans(devices, local[best], micro_batches[best] - 1, goodput[best])


@dataclass(frozen=True)
class Outlook:
    """The facts that the policy needs about a live trial.

    Example
    -------
    >>> outlook = Outlook(num_devices=1, resource=10.0, rates=np.array([1.0, 1.9]))
    >>> progress(outlook, sizes=[1, 2], max_t=81, time_left_s=20.0, launch_cost_s=5.0).round(2).tolist()
    [3.4, 3.58]
    """

    num_devices: int
    """Number of devices that it holds."""
    resource: float
    """Resource level that it has reported."""
    rates: Rates
    """Resource per second by number of devices, positive."""


def progress(outlook: Outlook, sizes: Sequence[int], max_t: float, time_left_s: float, launch_cost_s: float) -> Floats:
    """``log(resource at the deadline)`` of a trial that continues with each of ``sizes``; array of shape (sizes,).

    The resource ends at ``max_t``: a trial that reaches it in any case needs no further device.
    """
    chosen = np.asarray(sizes)
    moved = chosen != outlook.num_devices
    training_s = np.where(moved, max(time_left_s - launch_cost_s, 0.0) / MIN_GAIN, max(time_left_s, 0.0))
    resource = np.minimum(outlook.resource + outlook.rates[chosen - 1] * training_s, max_t)
    # A trial has trained something when this is called. The tiny number only keeps the logarithm finite.
    return np.asarray(np.log(np.maximum(resource, np.finfo(float).tiny)))


def allocate_goodput(
    values: Mapping[int, float | None],
    outlooks: Mapping[int, Outlook],
    num_devices: int,
    sizes: Sequence[int],
    max_t: float,
    time_left_s: float,
    launch_cost_s: float,
) -> dict[int, int]:
    """Divides the devices so that the sum of expected progress is greatest (see the module's docstring).

    No trial grows to a size on which it is slower than on a smaller one. It may stay on such a size if leaving it costs
    more than it gains.

    Parameters
    ----------
    values
        Latest metric of every live trial, to be minimised; None for a trial that has not reported.
    outlooks
        The trials about which enough is known. Each of the other trials gets one device.
    num_devices
        Number of devices, at least the number of trials.
    sizes
        Sizes that the grid allows, in ascending order from 1.
    max_t
        Resource level at which a trial ends.
    time_left_s
        Seconds until the deadline.
    launch_cost_s
        Seconds that a trial loses when it changes its size.

    Returns
    -------
    dict
        Devices by trial id, best trial first, in total at most ``num_devices``. If several divisions are best, it is
        one with few devices for the trials of the lowest rank.

    Raises
    ------
    ValueError
        There are more trials than devices.
    """
    if len(values) > num_devices:
        raise ValueError(f"num_devices must be at least {len(values)}, the live trials, but got {num_devices!r}")
    ranked = rank(values)
    spare = num_devices - len(ranked)
    available = np.arange(spare + 1)[:, None]
    held = dict.fromkeys(ranked, 1)
    best = np.zeros(spare + 1)
    choices = []
    for position, trial_id in enumerate(ranked, start=1):
        outlook = outlooks.get(trial_id)
        if outlook is None:
            continue
        usable = _usable(outlook, sizes, most=spare + 1)
        gains = progress(outlook, usable, max_t, time_left_s, launch_cost_s) / position
        extra = np.array(usable) - 1
        # total[d, j]: this trial grows by extra[j], and the better trials share the rest of d devices.
        total = np.where(available >= extra, best[np.maximum(available - extra, 0)] + gains, -np.inf)
        choice = total.argmax(axis=1)
        best = total[available[:, 0], choice]
        choices.append((trial_id, usable, choice))
    for trial_id, usable, choice in reversed(choices):
        held[trial_id] = usable[choice[spare]]
        spare -= held[trial_id] - 1
    return held


def _usable(outlook: Outlook, sizes: Sequence[int], most: int) -> list[int]:
    """The sizes up to ``most`` that are faster than all smaller ones, and the size that the trial holds."""
    usable, fastest = [], 0.0
    for size in sorted({*sizes, outlook.num_devices}):
        if size > most:
            break
        rate = outlook.rates[size - 1]
        if rate > fastest or size == outlook.num_devices:
            usable.append(size)
        fastest = max(fastest, rate)
    return usable
