"""Learns the throughput of each trial on other sizes, from the reports of all trials while they run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from syne_hypersched.allocation._shape_fit import Floats, StepTimes, fit_shapes
from syne_hypersched.allocation.goodput import BatchLimits, best_batches, efficiency
from syne_hypersched.allocation.throughput import DEFAULT_PRIOR, ThroughputModel, shape_model
from syne_hypersched.allocation.window import QuantileWindow
from syne_hypersched.contract import (
    ACCUMULATION_STEPS,
    BATCH_SIZE,
    MAX_BATCH_SIZE,
    MIN_BATCH_SIZE,
    NOISE_SCALE,
    STEP_TIME_S,
)

_WINDOW = 32
"""Number of step times that are kept for one trial at one point."""

_POINTS = 12
"""Number of points (sizes with their batches) that are kept for one trial."""

_STEP_KEYS = frozenset((STEP_TIME_S, BATCH_SIZE, MIN_BATCH_SIZE, MAX_BATCH_SIZE, ACCUMULATION_STEPS, NOISE_SCALE))

_LEAST_SPREAD = 0.5
"""Share of the prior's spread that always remains: however many trials are measured, the next one may differ."""


@dataclass(frozen=True)
class Steps:
    """The script's data about the optimiser steps since its last report. Everything may be unknown.

    Example
    -------
    >>> Steps.from_result({"step_time_s": 0.25, "batch_size": 128}).batch_size
    128.0
    """

    step_time_s: float | None = None
    """Seconds of a step."""
    batch_size: float | None = None
    """Global batch size."""
    accumulation_steps: int = 0
    """Number of micro-batches of a step before its last one."""
    noise_scale: float | None = None
    """Gradient noise scale in samples."""
    limits: BatchLimits | None = None
    """Limits within which the script chooses its global batch; None: it does not choose."""

    @classmethod
    def from_result(cls, result: Mapping[str, Any]) -> Steps:
        """Reads the usable entries of a report, under the keys of :mod:`~syne_hypersched.contract`.

        An invalid entry counts as absent, since it must not end a tuning that does not need it.
        """
        if _STEP_KEYS.isdisjoint(result):  # most scripts report none of them
            return UNKNOWN_STEPS
        step_time_s, batch_size = (_positive(result.get(key)) for key in (STEP_TIME_S, BATCH_SIZE))
        smallest, largest = (_positive(result.get(key)) for key in (MIN_BATCH_SIZE, MAX_BATCH_SIZE))
        limits = None
        if smallest is not None and largest is not None and 1 <= smallest <= largest:
            limits = BatchLimits(int(smallest), int(largest))
        return cls(
            step_time_s=step_time_s,
            batch_size=batch_size,
            accumulation_steps=int(_positive(result.get(ACCUMULATION_STEPS)) or 0),
            noise_scale=_positive(result.get(NOISE_SCALE)),
            limits=limits,
        )


UNKNOWN_STEPS = Steps()
"""For a script that reports nothing about its steps."""


@dataclass
class _Point:
    num_devices: int
    batch_size: float | None
    accumulation_steps: int
    num_nodes: int = 1
    times_s: QuantileWindow = field(default_factory=lambda: QuantileWindow(_WINDOW))


@dataclass
class _Measured:
    num_devices: int
    steps: Steps
    num_nodes: int = 1
    epoch_times_s: QuantileWindow = field(default_factory=lambda: QuantileWindow(_WINDOW))
    points: dict[tuple[int, ...], _Point] = field(default_factory=dict)
    theta: Floats = field(default_factory=lambda: np.full(5, np.nan))
    rates: Floats | None = None


class LearntThroughput:
    """Fits a step-time model to every trial. Each trial also learns from the others.

    Example
    -------
    >>> throughput = LearntThroughput()
    >>> throughput.observe(0, num_devices=1, epoch_time_s=10.0)
    >>> rates = throughput.rates(0, num_devices=4)
    >>> [round(float(rate), 2) for rate in rates[[0, 3]]]
    [0.1, 0.32]

    A trial that reports step times and batch sizes is modelled as in Pollux. A trial that reports neither is modelled
    from its epoch times: with a fixed global batch, an epoch has a fixed number of steps, and the local batch is one
    n-th of the global batch, whose size need not be known.

    **Prior.** The prior of a trial comes from the trials that were seen on several sizes: it is the mean of their
    shapes. Each shape is weighted by the number of sizes beyond the first, and the default prior counts as one more
    trial. The trials of one search run the same script on the same machine, so their speed differs far more than their
    shape.

    Trials are fitted when rates are requested: only those that have reported since then, all at once, and from where
    the last fit ended.
    """

    def __init__(self) -> None:
        self._trials: dict[int, _Measured] = {}
        #: Trials that have reported since they were last fitted.
        self._unfitted: dict[int, None] = {}
        #: Weight and shape of every trial that was seen on several sizes, even after its end.
        self._shapes: dict[int, tuple[float, Floats]] = {}
        self._sum_of_weights = 1.0
        self._sum_of_shapes = np.array(DEFAULT_PRIOR.mean)
        #: Number of samples on a device to which shapes refer: about the first batch size. It is chosen once (NaN until
        #: then), so that shapes stay comparable.
        self._reference = math.nan

    def observe(
        self,
        trial_id: int,
        num_devices: int,
        epoch_time_s: float,
        steps: Steps = UNKNOWN_STEPS,
        num_nodes: int = 1,
    ) -> None:
        """Notes how fast a trial has trained.

        Parameters
        ----------
        trial_id
            The trial.
        num_devices
            Number of devices that it held.
        epoch_time_s
            Seconds for one unit of resource.
        steps
            The script's data about its steps.
        num_nodes
            Number of nodes of its devices. If a number of devices was seen on several numbers of nodes, the fewest
            count.

        Raises
        ------
        ValueError
            ``num_devices`` is below 1, or ``epoch_time_s`` is not positive and finite.
        """
        if num_devices < 1:
            raise ValueError(f"num_devices must be at least 1, but got {num_devices!r}")
        if not 0 < epoch_time_s < math.inf:
            raise ValueError(f"epoch_time_s must be positive and finite, but got {epoch_time_s!r}")
        trial = self._trials.get(trial_id)
        if trial is None or (trial.steps.step_time_s is None) != (steps.step_time_s is None):
            # Step times and epoch times have different units. If a script changes between them, they are not mixed.
            trial = self._trials[trial_id] = _Measured(num_devices, steps)
        if (trial.num_devices, trial.num_nodes, trial.steps.batch_size) != (num_devices, num_nodes, steps.batch_size):
            trial.epoch_times_s = QuantileWindow(_WINDOW)
        trial.num_devices, trial.num_nodes, trial.steps = num_devices, num_nodes, steps
        trial.rates = None
        self._unfitted[trial_id] = None
        trial.epoch_times_s.add(epoch_time_s)
        # Batches that differ by less than 5 % are one point.
        bucket = 0 if steps.batch_size is None else 1 + round(20 * math.log(steps.batch_size))
        key = (num_devices, bucket, steps.accumulation_steps, num_nodes)
        point = trial.points.pop(key, None) or _Point(
            num_devices, steps.batch_size, steps.accumulation_steps, num_nodes
        )
        trial.points[key] = point
        # With twice the batch size, an epoch has half as many steps.
        steps_s = epoch_time_s * (steps.batch_size or 1.0)
        point.times_s.add(steps_s if steps.step_time_s is None else steps.step_time_s)
        if len(trial.points) > _POINTS:
            del trial.points[next(iter(trial.points))]

    def forget(self, trial_id: int) -> None:
        """Removes a trial that no longer runs. Its contribution to the prior stays."""
        self._trials.pop(trial_id, None)
        self._unfitted.pop(trial_id, None)

    def epoch_time_s(self, trial_id: int) -> tuple[int, float] | None:
        """Number of devices of a trial's last training, and its median epoch time on them; None if not reported."""
        trial = self._trials.get(trial_id)
        return None if trial is None else (trial.num_devices, trial.epoch_times_s.median)

    def model(self, trial_id: int) -> ThroughputModel | None:
        """The fitted model of a trial; None if it has reported no time.

        If no batch size is reported, the unit of time is that of an epoch, and ``beta_c`` refers to a batch of 1.
        """
        if trial_id not in self._trials:
            return None
        self._fit()
        return shape_model(self._trials[trial_id].theta, self._reference)

    def rates(self, trial_id: int, num_devices: int) -> Floats | None:
        """Resource per second of a trial on 1 to ``num_devices`` devices, in units of its current efficiency.

        If the script chooses its batch, the batch on other sizes is the one with the best goodput. Otherwise it grows
        with the devices if this was observed, or stays the same.

        Returns
        -------
        array or None
            Of shape (num_devices,); None if the trial has reported no time.
        """
        trial = self._trials.get(trial_id)
        if trial is None:
            return None
        if trial.rates is None or len(trial.rates) != num_devices:
            self._fit()
            goodput = self._goodput(trial, np.arange(1, max(num_devices, trial.num_devices) + 1))
            trial.rates = (goodput / goodput[trial.num_devices - 1] / trial.epoch_times_s.median)[:num_devices]
        return trial.rates

    def _goodput(self, trial: _Measured, sizes: npt.NDArray[np.int64]) -> Floats:
        """Goodput on each of ``sizes``, in an arbitrary unit."""
        steps, model = trial.steps, shape_model(trial.theta, self._reference)
        if steps.limits is not None and steps.noise_scale is not None:
            return best_batches(model, steps.noise_scale, sizes, steps.limits).goodput
        batch = np.full(len(sizes), self._reference if steps.batch_size is None else steps.batch_size)
        if _follows_devices(trial):
            batch = batch * sizes / trial.num_devices
        local = batch / sizes / (steps.accumulation_steps + 1)
        throughput = model.throughput(sizes, local, steps.accumulation_steps)
        if steps.noise_scale is None:
            return throughput
        return throughput * efficiency(batch, batch[0], steps.noise_scale)

    def _fit(self) -> None:
        """Fits the trials that have reported since they were last fitted."""
        ids = list(self._unfitted)
        self._unfitted.clear()
        if not ids:
            return
        trials = [self._trials[trial_id] for trial_id in ids]
        if math.isnan(self._reference):
            known = [math.log(trial.steps.batch_size) for trial in trials if trial.steps.batch_size is not None]
            self._reference = math.exp(sum(known) / len(known)) if known else 1.0
        own_weight, own_shape = np.zeros((len(ids), 1)), np.zeros((len(ids), 4))
        for row, trial_id in enumerate(ids):
            if trial_id in self._shapes:
                own_weight[row], own_shape[row] = self._shapes[trial_id]
        weight = self._sum_of_weights - own_weight
        mean = (self._sum_of_shapes - own_weight * own_shape) / weight
        spread = np.array(DEFAULT_PRIOR.spread) * np.maximum(_LEAST_SPREAD, weight**-0.5)
        start = np.stack([trial.theta for trial in trials])
        fitted = fit_shapes(_step_times(trials, self._reference), self._reference, (mean, spread), start)
        for trial_id, trial, theta in zip(ids, trials, fitted, strict=True):
            trial.theta = theta
            self._share(trial_id, len({point.num_devices for point in trial.points.values()}) - 1, theta[1:])

    def _share(self, trial_id: int, weight: float, shape: Floats) -> None:
        """Replaces a trial's shape in the prior of the others."""
        if weight == 0:
            return
        old_weight, old_shape = self._shapes.get(trial_id, (0.0, shape))
        self._shapes[trial_id] = (weight, shape)
        self._sum_of_weights += weight - old_weight
        self._sum_of_shapes = self._sum_of_shapes + weight * shape - old_weight * old_shape


def _step_times(trials: list[_Measured], reference: float) -> StepTimes:
    points_of = [_on_fewest_nodes(trial) for trial in trials]
    most = max(len(points) for points in points_of)
    entries = np.ones((5, len(trials), most))
    entries[2] = entries[4] = 0.0
    for row, points in enumerate(points_of):
        for column, point in enumerate(points):
            batch = reference if point.batch_size is None else point.batch_size
            local = batch / point.num_devices / (point.accumulation_steps + 1)
            entries[:, row, column] = point.num_devices, local, point.accumulation_steps, point.times_s.median, 1.0
    return StepTimes(*entries)


def _on_fewest_nodes(trial: _Measured) -> list[_Point]:
    fewest: dict[int, int] = {}
    for point in trial.points.values():
        fewest[point.num_devices] = min(point.num_nodes, fewest.get(point.num_devices, point.num_nodes))
    return [point for point in trial.points.values() if point.num_nodes == fewest[point.num_devices]]


def _follows_devices(trial: _Measured) -> bool:
    """Whether the number of samples on a device differed less between sizes than the global batch did."""
    batch_size = trial.steps.batch_size
    for point in reversed(trial.points.values()):
        if point.num_devices != trial.num_devices and point.batch_size is not None and batch_size is not None:
            ratio = math.log(point.batch_size / batch_size)
            return abs(ratio - math.log(point.num_devices / trial.num_devices)) < abs(ratio)
    return False


def _positive(entry: object) -> float | None:
    if isinstance(entry, bool) or not isinstance(entry, Real) or not 0 < float(entry) < math.inf:
        return None
    return float(entry)
