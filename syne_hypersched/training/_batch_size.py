"""The batch size of an elastic run, chosen by goodput within the user's limits, and the learning rate for it.

The batch changes only for a gain in goodput over 5 %, as in AdaptDL (Qiao et al., Pollux, OSDI 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from syne_hypersched.allocation.goodput import BatchLimits, best_batches, efficiency
from syne_hypersched.allocation.throughput import DEFAULT_PRIOR, ThroughputModel, fit_throughput
from syne_hypersched.allocation.window import QuantileWindow
from syne_hypersched.checks import instance, is_number, is_one_of, number, positive_integer

LearningRateRule = Literal["adascale", "square_root", "linear"]

LEARNING_RATE_RULES: tuple[LearningRateRule, ...] = get_args(LearningRateRule)
"""Names of the rules by which the learning rate follows the batch size."""

_MIN_GAIN = 1.05
"""Goodput with another batch over goodput with the present one that a change must exceed."""

_MAX_GROWTH = 2
"""Largest factor between the batch of one plan and that of the next. AdaptDL has no such limit."""

_WINDOW = 64
"""Step times that are kept of one batch on one number of devices."""

_PLANS = 16
"""Batches on numbers of devices of which step times are kept: those used last."""

_PRIOR = replace(DEFAULT_PRIOR, mean=(0.0, *DEFAULT_PRIOR.mean[1:]))
"""Assumes that half of the compute time does not depend on the batch, as AdaptDL does before it has seen a second local
batch. This favours larger batches on purpose: only trying one shows what it is worth."""


def learning_rate_factor(
    rule: LearningRateRule, batch_size: float, initial_batch_size: float, noise_scale: float | None = None
) -> float:
    """The factor by which the user's learning rate is multiplied, for another than the user's batch size.

    Parameters
    ----------
    rule
        With ``s = batch_size / initial_batch_size``: ``"adascale"``, ``(var + sqr) / (var / s + sqr)``, which is s
        while noise prevails and 1 without any, for SGD (Johnson et al., 2020); ``"square_root"``, the root of s, usual
        for Adam and its kin (Krizhevsky, 2014); ``"linear"``, s itself, for SGD (Goyal et al., 2017).
    batch_size, initial_batch_size
        Global batch sizes: the present one, and the one for which the user has set the learning rate.
    noise_scale
        Gradient noise scale in samples, for ``"adascale"``. With None, before it is measured, a larger batch does not
        raise the learning rate, which is safe.

    Raises
    ------
    TypeError
        A batch size or ``noise_scale`` is no number.
    ValueError
        The rule is unknown, a batch size is not above 0, or ``noise_scale`` is below 0.
    """
    if not is_one_of(rule, LEARNING_RATE_RULES):
        raise ValueError(f"rule must be one of {', '.join(map(repr, LEARNING_RATE_RULES))}, but got {rule!r}")
    for name, size in (("batch_size", batch_size), ("initial_batch_size", initial_batch_size)):
        if not is_number(size):
            raise TypeError(f"{name} must be a number above 0, but got {size!r}")
        if not 0 < size < math.inf:
            raise ValueError(f"{name} must be above 0 and finite, but got {size!r}")
    if noise_scale is not None and not is_number(noise_scale):
        raise TypeError(f"noise_scale must be a number of at least 0 or None, but got {noise_scale!r}")
    if noise_scale is not None and not noise_scale >= 0:
        raise ValueError(f"noise_scale must be at least 0, but got {noise_scale!r}")
    scale = batch_size / initial_batch_size
    if rule == "linear":
        return scale
    if rule == "square_root":
        return math.sqrt(scale)
    if noise_scale is None:
        return min(scale, 1.0)
    # AdaScale's gain, the steps with the initial batch that a step is worth, is the scale times the efficiency.
    return scale * float(efficiency(batch_size, initial_batch_size, noise_scale))


@dataclass(frozen=True)
class BatchPlan:
    """How a step is divided over devices and micro-batches.

    .. code-block:: python

        plan = split_batch(batch_size=100, num_devices=2, largest_local=20)
        plan.local_batch_size, plan.accumulation_steps  # 17, 2
        plan.batch_size  # 102: each device has the same number of samples

    Attributes
    ----------
    num_devices
        Devices, each with the same number of samples.
    local_batch_size
        Samples of a micro-batch on each device.
    accumulation_steps
        Micro-batches before the last one of a step.
    """

    num_devices: int
    local_batch_size: int
    accumulation_steps: int

    @property
    def batch_size(self) -> int:
        """Global batch size."""
        return self.num_devices * self.local_batch_size * (self.accumulation_steps + 1)


def split_batch(batch_size: int, num_devices: int, largest_local: int | None = None) -> BatchPlan:
    """Divides a global batch over devices, in as few micro-batches as memory permits.

    Every device has the same number of samples: the batch is rounded up where it cannot be divided.

    Parameters
    ----------
    batch_size
        Global batch size.
    num_devices
        Devices.
    largest_local
        Samples that fit into the memory of a device at once; None for any number.

    Raises
    ------
    TypeError, ValueError
        An argument is not an integer of at least 1; the message names it.
    """
    batch_size = positive_integer("batch_size", batch_size)
    num_devices = positive_integer("num_devices", num_devices)
    if largest_local is not None:
        largest_local = positive_integer("largest_local", largest_local)
    on_device = -(-batch_size // num_devices)
    micro_batches = 1 if largest_local is None else -(-on_device // largest_local)
    return BatchPlan(num_devices, -(-batch_size // (num_devices * micro_batches)), micro_batches - 1)


class GoodputBatchSize:
    """Chooses the batch size by goodput, from step times and the noise scale measured so far.

    .. code-block:: python

        sizes = GoodputBatchSize(BatchLimits(initial=128, largest=1024))
        plan = sizes.plan(num_devices=2, noise_scale=None)  # the user's batch
        sizes.record(plan, step_time_s=0.08)
        plan = sizes.plan(num_devices=2, noise_scale=3000.0)

    :class:`ElasticRun` does this with ``run.loader(..., batch_mode="goodput")``.

    Until both are known, and the noise scale is finite, the batch is the user's. Step times differ between replicas, so
    all of them must use the plan of one.

    Parameters
    ----------
    limits
        The user's batch, the largest batch, and the samples that fit into the memory of a device.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self.limits = instance("limits", limits, BatchLimits, "BatchLimits of a batch")
        self._batch_size = limits.initial
        self._step_times_s: dict[BatchPlan, QuantileWindow] = {}

    def record(self, plan: BatchPlan, step_time_s: float) -> None:
        """Records the seconds of one optimiser step.

        Parameters
        ----------
        plan
            The plan of the step.
        step_time_s
            Seconds that it took.

        Raises
        ------
        TypeError, ValueError
            ``plan`` is not a :class:`BatchPlan`, or ``step_time_s`` is not a positive and finite number.
        """
        if not isinstance(plan, BatchPlan):
            raise TypeError(f"plan must be a BatchPlan, but got {plan!r}")
        step_time_s = number("step_time_s", step_time_s, "positive and finite", above=0.0)
        window = self._step_times_s.pop(plan, None) or QuantileWindow(_WINDOW)
        window.add(step_time_s)
        self._step_times_s[plan] = window
        if len(self._step_times_s) > _PLANS:
            del self._step_times_s[next(iter(self._step_times_s))]

    @property
    def model(self) -> ThroughputModel | None:
        """The step-time model fitted to the recorded times; None before there are any."""
        if not self._step_times_s:
            return None
        plans = list(self._step_times_s)
        return fit_throughput(
            [plan.num_devices for plan in plans],
            [plan.local_batch_size for plan in plans],
            [window.median for window in self._step_times_s.values()],
            [plan.accumulation_steps for plan in plans],
            _PRIOR,
        )

    def plan(self, num_devices: int, noise_scale: float | None) -> BatchPlan:
        """The plan for the next steps.

        Parameters
        ----------
        num_devices
            Devices held.
        noise_scale
            Gradient noise scale in samples; None if it is not known.

        Returns
        -------
        BatchPlan
            The batch of the last plan, unless another one has a goodput more than 5 % higher. At most twice the batch
            of the last plan: the noise scale is known for the batches so far only, and by AdaScale's rule the learning
            rate grows with the batch; a run may diverge if it grows too fast.
        """
        present = split_batch(self._batch_size, num_devices, self.limits.largest_local)
        model = self.model
        # An infinite noise scale means that no signal was measured, not that there is none.
        if model is None or noise_scale is None or not math.isfinite(noise_scale):
            return present
        limits = replace(self.limits, largest=min(self.limits.largest, _MAX_GROWTH * self._batch_size))
        best = best_batches(model, noise_scale, num_devices, limits)
        goodput = float(
            model.throughput(num_devices, present.local_batch_size, present.accumulation_steps)
            * efficiency(present.batch_size, self.limits.initial, noise_scale)
        )
        if float(best.goodput[0]) <= _MIN_GAIN * goodput:
            return present
        self._batch_size = int(best.batch_size[0])
        return BatchPlan(num_devices, int(best.local_batch_size[0]), int(best.accumulation_steps[0]))

    def state_dict(self) -> dict[str, Any]:
        """The batch size and the medians of the step times, to be kept in a checkpoint; JSON."""
        times = [
            [plan.num_devices, plan.local_batch_size, plan.accumulation_steps, window.median]
            for plan, window in self._step_times_s.items()
        ]
        return {"batch_size": self._batch_size, "step_times_s": times}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores ``state``, which :meth:`state_dict` returned; moves a batch size outside of the limits into them."""
        self._batch_size = min(max(int(state["batch_size"]), self.limits.initial), self.limits.largest)
        self._step_times_s = {}
        for num_devices, local_batch_size, accumulation_steps, median_s in state["step_times_s"]:
            self.record(BatchPlan(num_devices, local_batch_size, accumulation_steps), median_s)
