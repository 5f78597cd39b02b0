"""Goodput: throughput times statistical efficiency, the batch size that maximises it, and a policy for devices.

Definitions of Qiao et al. (Pollux, OSDI 2021, section 3): a trial on ``n`` devices with the global batch ``M`` has the
goodput ``throughput(n, M) * efficiency(M)``, its useful samples per second.

**Policy.** Pollux maximises the sum of the speed-ups of independent jobs. The trials of a search compete: what counts
is the best of them at the deadline. The policy ``goodput`` therefore maximises

    sum over live trials of  log(resource at the deadline) / rank

where the best trial has rank 1. The logarithm counts progress as successive halving does, whose rungs lie at a constant
ratio: each further rung is worth as much as the one before and takes ``eta`` times as long. The weight ``1 / rank`` is
the share of a perfect ranking in successive halving: it trains the trial of rank k among K until ``r * K / k``, and
where devices are divisible and scaling is linear the maximum of the sum gives each trial its share of progress in just
this proportion (weighted proportional fairness, Kelly 1997).

**Net of launches.** A trial that changes its size trains for the time left less one launch, and only a progress
:const:`~syne_hypersched.allocation.resize.MIN_GAIN` times as large outweighs going on as it is, as in the resize rule.

**Exact.** The maximum is found by dynamic programming over trials and devices, not by giving devices one after the
other to the largest marginal gain. That would be exact for concave gains only, and they are not: the second device
brings synchronisation and the launch, of which further ones bring little more, some sizes are slower than smaller ones,
and the grid of sizes has gaps.
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
"""Resource per second of a trial on 1, 2, ... devices, an array of shape (sizes,)."""

_CANDIDATES = 50
"""Batch sizes that are compared, as in AdaptDL; neighbours differ by 5 % where the largest is ten times the initial."""


def efficiency(batch_size: npt.ArrayLike, initial_batch_size: float, noise_scale: float) -> Floats:
    """Statistical efficiency: progress per sample, relative to the initial batch.

    With the noise scale ``B`` (McCandlish et al., 2018), this is ``(B + initial) / (B + batch)``, which is Pollux's
    ``(var + sqr) / (var / s + sqr) / s`` with ``s = batch / initial`` and ``B = initial * var / sqr``.

    Parameters
    ----------
    batch_size
        Global batch size.
    initial_batch_size
        Global batch size at which the efficiency is 1.
    noise_scale
        Gradient noise scale in samples, at least 0; infinity makes every batch as efficient.
    """
    batch = np.asarray(batch_size, dtype=float)
    if noise_scale == math.inf:
        return np.ones_like(batch)
    return np.asarray((noise_scale + initial_batch_size) / (noise_scale + batch))


@dataclass(frozen=True)
class BatchLimits:
    """The batch sizes among which a trial may choose.

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
    """Global batch size given by the user, which is also the smallest."""
    largest: int
    """Largest global batch size."""
    largest_local: int | None = None
    """Samples that fit into the memory of a device at once. None: any number."""

    def __post_init__(self) -> None:
        if self.initial < 1:
            raise ValueError(f"initial must be at least 1, but got {self.initial!r}")
        if self.largest < self.initial:
            raise ValueError(f"largest must be at least initial = {self.initial!r}, but got {self.largest!r}")
        if self.largest_local is not None and self.largest_local < 1:
            raise ValueError(f"largest_local must be at least 1, but got {self.largest_local!r}")


@dataclass(frozen=True)
class BatchPlans:
    """How a trial would train on each of several numbers of devices, each array of shape (sizes,).

    Example
    -------
    >>> model = ThroughputModel(alpha_c=0.01, beta_c=0.001, alpha_n=0.02, beta_n=0.001, gamma=1.0)
    >>> plans = best_batches(model, noise_scale=1000.0, num_devices=[1, 4], limits=BatchLimits(128, 1024))
    >>> plans.num_devices.tolist(), bool(plans.goodput[1] > plans.goodput[0])
    ([1, 4], True)
    """

    num_devices: npt.NDArray[np.int64]
    local_batch_size: npt.NDArray[np.int64]
    """Samples of a micro-batch on each device."""
    accumulation_steps: npt.NDArray[np.int64]
    """Micro-batches before the last one of a step."""
    goodput: Floats
    """Useful samples per second."""

    @property
    def batch_size(self) -> npt.NDArray[np.int64]:
        """Global batch sizes."""
        return self.num_devices * self.local_batch_size * (self.accumulation_steps + 1)


def best_batches(
    model: ThroughputModel, noise_scale: float, num_devices: npt.ArrayLike, limits: BatchLimits
) -> BatchPlans:
    """The batch sizes with the greatest goodput, within the limits, for each of several numbers of devices.

    Every device has the same number of samples, so the global batch is rounded up to a multiple of the devices times
    the micro-batches. Where a device cannot hold its samples they are split into micro-batches.

    Differences from AdaptDL: a single device need not accumulate, since the noise scale is measured there too.

    Parameters
    ----------
    model
        Step times.
    noise_scale
        Gradient noise scale in samples.
    num_devices
        Array of shape (sizes,).
    limits
        Limits set by the user. With more devices than ``limits.largest``, each device still has one sample.
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
    # Rounding up may pass the limit; the smallest candidate stays, since some batch must be used.
    goodput[1:][batch[1:] > limits.largest] = 0.0
    best = goodput.argmax(axis=0), np.arange(len(devices))
    return BatchPlans(devices, local[best], micro_batches[best] - 1, goodput[best])


@dataclass(frozen=True)
class Outlook:
    """What the policy has to know of a live trial.

    Example
    -------
    >>> outlook = Outlook(num_devices=1, resource=10.0, rates=np.array([1.0, 1.9]))
    >>> progress(outlook, sizes=[1, 2], max_t=81, time_left_s=20.0, launch_cost_s=5.0).round(2).tolist()
    [3.4, 3.58]
    """

    num_devices: int
    """Devices that it holds."""
    resource: float
    """Resource that it has reported."""
    rates: Rates
    """Resource per second by number of devices, positive."""


def progress(outlook: Outlook, sizes: Sequence[int], max_t: float, time_left_s: float, launch_cost_s: float) -> Floats:
    """``log(resource at the deadline)`` of a trial that goes on with each of ``sizes``, an array of shape (sizes,).

    The resource ends at ``max_t``: a trial that gets there anyway needs no further device.
    """
    chosen = np.asarray(sizes)
    moved = chosen != outlook.num_devices
    training_s = np.where(moved, max(time_left_s - launch_cost_s, 0.0) / MIN_GAIN, max(time_left_s, 0.0))
    resource = np.minimum(outlook.resource + outlook.rates[chosen - 1] * training_s, max_t)
    # A trial has trained something by the time it is asked about; the least number only keeps the logarithm finite.
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
    """Divides the devices so that the sum of expected progress is greatest (see the module's text).

    No trial grows to a size on which it is slower than on a smaller one. It may stay on such a size where leaving it
    costs more than it brings.

    Parameters
    ----------
    values
        Latest metric value of every live trial, to be minimised; None for a trial that has not reported.
    outlooks
        The trials about which enough is known; each of the others gets one device.
    num_devices
        Number of devices, at least the number of trials.
    sizes
        Sizes that the grid allows, ascending from 1.
    max_t
        Resource at which a trial ends.
    time_left_s
        Seconds until the deadline.
    launch_cost_s
        Seconds that a trial loses when it changes its size.

    Returns
    -------
    dict
        Devices by trial id, best trial first, together at most ``num_devices``. Of several best divisions it is one
        with few devices for the trials that rank last.

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
        # total[d, j]: this trial grows by extra[j], and the better ones share what is then left of d devices.
        total = np.where(available >= extra, best[np.maximum(available - extra, 0)] + gains, -np.inf)
        choice = total.argmax(axis=1)
        best = total[available[:, 0], choice]
        choices.append((trial_id, usable, choice))
    for trial_id, usable, choice in reversed(choices):
        held[trial_id] = usable[choice[spare]]
        spare -= held[trial_id] - 1
    return held


def _usable(outlook: Outlook, sizes: Sequence[int], most: int) -> list[int]:
    """The sizes up to ``most`` that are faster than every smaller one, and the one that the trial holds."""
    usable, fastest = [], 0.0
    for size in sorted({*sizes, outlook.num_devices}):
        if size > most:
            break
        rate = outlook.rates[size - 1]
        if rate > fastest or size == outlook.num_devices:
            usable.append(size)
        fastest = max(fastest, rate)
    return usable
