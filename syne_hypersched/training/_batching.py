"""How large the batch of a step is on the present devices, and how the learning rate follows it."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Any, Literal, get_args

from syne_hypersched import checks
from syne_hypersched.allocation.goodput import BatchLimits, efficiency
from syne_hypersched.contract import (
    ACCUMULATION_STEPS,
    BATCH_SIZE,
    EFFICIENCY,
    MAX_BATCH_SIZE,
    MIN_BATCH_SIZE,
    NOISE_SCALE,
    STEP_TIME_S,
    THROUGHPUT,
)
from syne_hypersched.training._batch_size import (
    LEARNING_RATE_RULES,
    BatchPlan,
    GoodputBatchSize,
    LearningRateRule,
    learning_rate_factor,
    split_batch,
)

BatchMode = Literal["fixed", "weak", "goodput"]

BATCH_MODES: tuple[BatchMode, ...] = get_args(BatchMode)
"""``fixed``: the global batch is the user's. ``weak``: it is the user's times the number of devices (weak scaling).
``goodput``: it is chosen within limits while the run goes on."""


@dataclass(frozen=True)
class StepPlan:
    """How the next steps are computed."""

    batch_size: int
    """Samples of a step, over all devices and micro-batches."""
    micro_batches: int


class Batching:
    """Plans steps, and keeps the measurements of them.

    Parameters
    ----------
    mode
        One of :const:`BATCH_MODES`.
    batch_size
        Global batch size for which the user has set the learning rate; with ``"weak"``, that of one device.
    num_devices
        Devices of this launch.
    max_batch_size
        Largest global batch that ``"goodput"`` may choose, which needs it.
    max_local_batch_size
        Samples that fit into the memory of a device at once; None for any number.
    learning_rate_rule
        See :func:`learning_rate_factor`.
    virtual_devices
        Parts into which every step is divided, whatever the devices; None: there are as many as devices.

    Raises
    ------
    TypeError
        A number is not an integer.
    ValueError
        A number is below 1, ``mode`` or ``learning_rate_rule`` is unknown, or ``max_batch_size`` is missing with
        ``"goodput"``, below ``batch_size``, or given with another mode; or virtual devices are combined with another
        mode than ``"fixed"``, or have larger shares than ``max_local_batch_size``.
    """

    def __init__(
        self,
        mode: BatchMode,
        batch_size: int,
        num_devices: int,
        max_batch_size: int | None = None,
        max_local_batch_size: int | None = None,
        learning_rate_rule: LearningRateRule = "adascale",
        virtual_devices: int | None = None,
    ) -> None:
        checks.one_of("batch_mode", mode, BATCH_MODES)
        batch_size = checks.positive_integer("batch_size", batch_size)
        num_devices = checks.positive_integer("num_devices", num_devices)
        max_batch_size = _size("max_batch_size", max_batch_size)
        max_local_batch_size = _size("max_local_batch_size", max_local_batch_size)
        virtual_devices = _size("virtual_devices", virtual_devices)
        checks.one_of("learning_rate_rule", learning_rate_rule, LEARNING_RATE_RULES)
        if (mode == "goodput") != (max_batch_size is not None):
            raise ValueError(
                f"max_batch_size must be given if and only if batch_mode is 'goodput', but got {max_batch_size!r} with "
                f"{mode!r}"
            )
        if max_batch_size is not None and max_batch_size < batch_size:
            raise ValueError(f"max_batch_size must be at least batch_size = {batch_size}, but got {max_batch_size!r}")
        if virtual_devices is not None and mode != "fixed":
            raise ValueError(f"batch_mode must be 'fixed' where there are virtual devices, but got {mode!r}")
        if virtual_devices is not None and batch_size > virtual_devices * (max_local_batch_size or batch_size):
            raise ValueError(
                f"max_local_batch_size must be at least the share of one of {virtual_devices} virtual devices in "
                f"{batch_size} samples, but got {max_local_batch_size}: use more virtual devices"
            )
        self.batch_size = batch_size
        self._virtual_devices = virtual_devices
        self._num_devices = num_devices
        self._max_local = max_local_batch_size
        self._rule = learning_rate_rule
        self._mode = mode
        self._goodput: GoodputBatchSize | None = None
        if max_batch_size is not None:
            self._goodput = GoodputBatchSize(BatchLimits(batch_size, max_batch_size, max_local_batch_size))
        self._plan = self._first_plan()
        self._step_times_s: list[float] = []

    @property
    def needs_noise_scale(self) -> bool:
        """Whether the plan or the learning rate depends on the noise scale."""
        return self._mode == "goodput" or (self._mode == "weak" and self._rule == "adascale")

    @property
    def plan(self) -> StepPlan:
        """The plan of the present steps."""
        return self._plan

    def next_plan(self, noise_scale: float | None) -> StepPlan:
        """The plan for the next steps, chosen by the measurements so far; without ``"goodput"`` always the same."""
        if self._goodput is not None:
            chosen = self._goodput.plan(self._num_devices, noise_scale)
            return StepPlan(chosen.batch_size, chosen.accumulation_steps + 1)
        return self._plan

    def adopt(self, plan: StepPlan) -> None:
        """Uses ``plan`` from now on; all devices adopt the plan of one of them."""
        if plan != self._plan:
            self._step_times_s = []
        self._plan = plan

    def resize(self, num_devices: int) -> None:
        """Plans for another number of devices; step times of the old one are dropped."""
        self._num_devices = num_devices
        self._step_times_s = []
        self._plan = self._first_plan()

    def learning_rate_factor(self, noise_scale: float | None) -> float:
        """Factor for the user's learning rate in the steps of the present plan."""
        if self._plan.batch_size == self.batch_size:
            return 1.0
        return learning_rate_factor(self._rule, self._plan.batch_size, self.batch_size, noise_scale)

    def record(self, step_time_s: float) -> None:
        """Records the seconds of one whole step of the present plan."""
        step_time_s = checks.positive_seconds("step_time_s", step_time_s)
        self._step_times_s.append(step_time_s)
        if self._goodput is not None:
            micro_batches = self._plan.micro_batches
            local = self._plan.batch_size // (self._num_devices * micro_batches)
            self._goodput.record(BatchPlan(self._num_devices, local, micro_batches - 1), step_time_s)

    def measurements(self, noise_scale: float | None) -> dict[str, float]:
        """Entries of a report about the steps since the last one, under the keys of :mod:`syne_hypersched.contract`."""
        found: dict[str, float] = {
            BATCH_SIZE: self._plan.batch_size,
            ACCUMULATION_STEPS: self._plan.micro_batches - 1,
        }
        if self._step_times_s:
            found[STEP_TIME_S] = statistics.median(self._step_times_s)
            found[THROUGHPUT] = self._plan.batch_size / found[STEP_TIME_S]
        if self._goodput is not None:
            found |= {MIN_BATCH_SIZE: self._goodput.limits.initial, MAX_BATCH_SIZE: self._goodput.limits.largest}
        if noise_scale is not None and math.isfinite(noise_scale):
            found[NOISE_SCALE] = noise_scale
            found[EFFICIENCY] = float(efficiency(self._plan.batch_size, self.batch_size, noise_scale))
        self._step_times_s = []
        return found

    def state_dict(self) -> dict[str, Any]:
        """The measurements and the chosen batch."""
        return {} if self._goodput is None else self._goodput.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from the result of :meth:`state_dict`, perhaps on another number of devices."""
        if self._goodput is not None and state:
            self._goodput.load_state_dict(state)

    def _first_plan(self) -> StepPlan:
        if self._virtual_devices is not None:
            return StepPlan(self.batch_size, self._virtual_devices // self._num_devices)
        batch_size = self.batch_size * (self._num_devices if self._mode == "weak" else 1)
        split = split_batch(batch_size, self._num_devices, self._max_local)
        # The split rounds up to equal shares; a fixed batch must be exactly what the user asked for.
        return StepPlan(split.batch_size if self._mode == "goodput" else batch_size, split.accumulation_steps + 1)


def _size(name: str, size: int | None) -> int | None:
    return None if size is None else checks.positive_integer(name, size)
