"""A loader that goes on in the middle of an epoch, on another number of devices, as if nothing had happened.

Fetching, collating, worker processes and pinned memory are those of :class:`torch.utils.data.DataLoader`; what is ours
is which samples, in which order, on which device.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset, default_collate

from syne_hypersched.training._batching import Batching, StepPlan
from syne_hypersched.training._division import Part, divide, divide_virtually, epoch_order
from syne_hypersched.training._random import derive_seed
from syne_hypersched.training._samples import SeededCollation, SeededSamples
from syne_hypersched.training._step_clock import StepClock

if TYPE_CHECKING:
    from syne_hypersched.training._run import ElasticRun


class _Sampler:
    """Hands the indices of one part after the other to the DataLoader, and the parts themselves to our loader."""

    def __init__(self, as_tensor: bool) -> None:
        self._as_tensor = as_tensor
        self._pass: tuple[Tensor, int, Callable[[int], list[Part]], int, deque[Part]]

    def begin(
        self, order: Tensor, batch_size: int, split: Callable[[int], list[Part]], sample_seed: int
    ) -> deque[Part]:
        """The next iteration is over these samples; gives the parts that it has handed out."""
        self._pass = (order, batch_size, split, sample_seed, deque[Part]())
        return self._pass[-1]

    def __iter__(self) -> Iterator[Any]:
        return self._indices(*self._pass)

    def _indices(
        self, order: Tensor, batch_size: int, split: Callable[[int], list[Part]], sample_seed: int, parts: deque[Part]
    ) -> Iterator[Any]:
        for batch in order.split(batch_size):  # type: ignore[no-untyped-call]
            for part in split(len(batch)):
                parts.append(part)
                indices = batch[part.rows]
                yield indices if self._as_tensor else (sample_seed, indices.tolist())


class ElasticLoader:
    """Iterates over what this device has to compute; made by :meth:`ElasticRun.loader`.

    A loader for training yields one micro-batch after the other, already on the device of the run, until the epoch (or
    the round) is over, and nothing more until the next one begins. Between two steps it sees to it that the run is
    checkpointed and ended when that was asked for. A loader for validation divides its data among the devices and
    begins anew each time.
    """

    def __init__(
        self,
        run: ElasticRun,
        dataset: Any,
        batching: Batching,
        train: bool,
        shuffle: bool,
        seed: int,
        options: dict[str, Any],
    ) -> None:
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise TypeError(
                f"dataset must have __len__ and __getitem__, but got {type(dataset).__name__}: the place in a stream "
                "without them cannot be found again"
            )
        if len(dataset) == 0:
            raise ValueError("dataset must have samples, but got one without any")
        self.dataset = dataset
        self.batching = batching
        self.is_for_training = train
        self._run = run
        self._shuffle = shuffle
        self._seed = seed
        collate = options.pop("collate_fn", None)
        # One that has its own way with single samples, or whose samples are to be collated by the user, is like others.
        as_tensor = isinstance(dataset, TensorDataset) and collate is None
        as_tensor = as_tensor and type(dataset).__getitem__ is TensorDataset.__getitem__
        self._sampler = _Sampler(as_tensor)
        samples = {"dataset": dataset, "sampler": self._sampler, "batch_size": None}
        if not as_tensor:
            samples = {
                "dataset": SeededSamples(dataset),
                "batch_sampler": self._sampler,
                "collate_fn": SeededCollation(collate or default_collate, is_seeded=collate is not None),
            }
        options.setdefault("persistent_workers", options.get("num_workers", 0) > 0)
        options.setdefault("pin_memory", run.device.type == "cuda")
        # Else workers are seeded from the process-wide generator, which would depend on how often it was asked.
        generator = torch.Generator().manual_seed(derive_seed(seed, "workers"))
        self._fetcher: DataLoader[Any] = DataLoader(**samples, generator=generator, **options)
        #: The pass over the data, from 1, the samples of it whose steps are done, and the rest of it.
        self._epoch = 1
        self._num_done = 0
        self._batches: Generator[Any, None, None] | None = None
        #: The loop that runs; the part that it has handed out last, and that part while its step is not done.
        self._loop: object = None
        self._part: Part | None = None
        self._open: Part | None = None
        #: Whether the body of that loop runs.
        self.is_in_step = False
        self._clock = StepClock(run.device)
        #: How a step of one size is divided: the last one that was asked for.
        self._divided: dict[tuple[int, StepPlan], list[Part]] = {}
        #: Samples until the round ends; None: it ends with the epoch. An epoch that has ended is a round of none left.
        self._round_left: int | None = 0

    def __len__(self) -> int:
        """Micro-batches that this device computes in a whole epoch, with the batch size of now."""
        plan = self.batching.plan
        whole, rest = divmod(len(self.dataset), plan.batch_size)
        sizes = [plan.batch_size] * bool(whole) + [rest] * bool(rest)
        parts = [len(self._divide(size, plan)) for size in sizes]
        return parts[0] * whole + sum(parts[1:]) if whole else sum(parts)

    def begin_round(self, epoch: int, num_steps: int | None) -> None:
        """A round begins: an epoch from its start, or the samples of ``num_steps`` of the user's batches from here."""
        if self._open is not None:
            self._abandon()
        if num_steps is None:
            self._epoch, self._num_done, self._batches, self._round_left = epoch, 0, None, None
            self._loop = None
        else:
            self._round_left = num_steps * self.batching.batch_size

    def has_open(self, part: Part) -> bool:
        """Whether the step that ends with this part is under way."""
        return self._open is part

    def note_step(self) -> None:
        """The step that the last part belongs to is done, whether or not the script comes back for another one."""
        part = self._open
        if part is None or not part.is_last:
            return
        self._open = None
        self._num_done += part.batch_size
        if self._round_left is not None:
            self._round_left -= part.batch_size
        self._clock.note_step()

    def finish_measuring(self) -> None:
        """Waits until the steps so far are computed, and takes note of how long they took."""
        self._clock.leave(self._is_typical())
        self._record(wait=True)

    def close(self) -> None:
        """Ends the worker processes; a loop that begins later starts others."""
        if self._batches is not None:
            self._batches.close()
            self._batches = None
        self._fetcher._iterator = None

    def __iter__(self) -> Iterator[Any]:
        if self.is_for_training:
            yield from self._train()
            return
        before = self._run.present
        try:
            for part, batch in self._pass(1, 0):
                self._run.enter(self, part)
                yield batch
                self._run.between_steps(in_training=False)
        finally:
            self._run.leave_validation(self, before)

    def state_dict(self) -> dict[str, Any]:
        """The place in the data."""
        return {
            "epoch": self._epoch,
            "num_done": self._num_done,
            "round_left": self._round_left,
            "batching": self.batching.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a place that :meth:`state_dict` gave, perhaps of another number of devices."""
        self._epoch, self._num_done, self._round_left = state["epoch"], state["num_done"], state["round_left"]
        self.batching.load_state_dict(state["batching"])
        self._batches = None

    def _train(self) -> Iterator[Any]:
        if not self._run.is_inside:
            raise RuntimeError("a loader for training must be used inside a loop over run.epochs(), but none runs")
        if self._open is not None:
            self._abandon()
        if self._num_done >= len(self.dataset):  # the script has left the last loop after the last step of a pass
            self._end_pass()
        loop = self._loop = object()
        try:
            while self._round_left is None or self._round_left > 0:
                if self._batches is None:
                    self._batches = self._pass(self._epoch, self._num_done)
                is_over = False
                for part, batch in self._batches:
                    self._part = self._open = part
                    self._run.enter(self, part)
                    self.is_in_step = True
                    yield batch
                    if self._loop is not loop:
                        raise RuntimeError(
                            "a loader for training must be in one loop at a time, and in a new one in each epoch, but "
                            "an older iterator of it was asked for another batch"
                        )
                    self.is_in_step = False
                    if not part.is_last:
                        continue
                    if self._open is part:
                        self._run.count_step()
                    self._clock.end(self._is_typical())
                    self._record(wait=False)
                    if self._round_left is not None and self._round_left <= 0:
                        break
                    if self._num_done < len(self.dataset):
                        self._run.between_steps(in_training=True)
                    # The first step of a launch, and of an epoch, takes longer than those that follow it.
                    self._clock.begin()
                else:
                    is_over = True
                if is_over or self._num_done >= len(self.dataset):
                    self._end_pass()
        finally:
            if self._loop is loop:
                self._leave()
        self._run.end_of_training()

    def _end_pass(self) -> None:
        self._epoch, self._num_done, self._batches = self._epoch + 1, 0, None
        if self._round_left is None:
            self._round_left = 0

    def _leave(self) -> None:
        """The loop is over, or the script has left it, perhaps in the middle of a step."""
        self.is_in_step = False
        self._clock.leave(self._is_typical())
        if self._open is not None:
            self._abandon()
        elif (
            self._batches is not None and inspect.getgeneratorstate(self._batches) == inspect.GEN_CLOSED
        ):  # a sample could not be fetched
            self._batches = None

    def _abandon(self) -> None:
        """What was handed out and is not done is handed out again."""
        self._open, self._batches, self._loop, self.is_in_step = None, None, None, False
        self._run.abandon_step()

    def _is_typical(self) -> bool:
        """Whether the last step took as long as most do."""
        part = self._part
        return part is not None and part.is_even and part.batch_size == self.batching.plan.batch_size

    def _record(self, wait: bool) -> None:
        for time_s in self._clock.take(wait):
            self.batching.record(time_s)

    def _divide(self, batch_size: int, plan: StepPlan) -> list[Part]:
        # Nearly all steps of an epoch are divided alike, and a small step takes not much longer than dividing it.
        if (batch_size, plan) not in self._divided:
            self._divided = {(batch_size, plan): self._divide_anew(batch_size, plan)}
        return self._divided[batch_size, plan]

    def _divide_anew(self, batch_size: int, plan: StepPlan) -> list[Part]:
        group, num_virtual = self._run.group, self._run.virtual_devices if self.is_for_training else None
        if num_virtual is not None:
            return divide_virtually(batch_size, group.rank, group.num_ranks, num_virtual)
        return divide(batch_size, group.rank, group.num_ranks, plan.micro_batches)

    def _pass(self, epoch: int, num_done: int) -> Generator[tuple[Part, Any], None, None]:
        """The rest of a pass over the data, as this device computes it."""
        self._record(wait=True)  # they are those of the plan of now
        plan = self._run.group.broadcast(self.batching.next_plan(self._run.noise_scale))
        self.batching.follow(plan)
        order = epoch_order(len(self.dataset), self._seed, epoch, self._shuffle)[num_done:]
        parts = self._sampler.begin(
            order,
            plan.batch_size,
            lambda size: self._divide(size, plan),
            derive_seed(self._seed, "sample", epoch),
        )
        for batch in self._fetcher:
            yield parts.popleft(), _to_device(batch, self._run.device)


def _to_device(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: _to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        moved = [_to_device(value, device) for value in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)
    return batch
