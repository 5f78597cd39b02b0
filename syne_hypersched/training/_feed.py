"""Determines the samples of a device and their order, and fetches them.

Fetching, collating, worker processes and pinned memory are those of :class:`torch.utils.data.DataLoader`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset, default_collate

from syne_hypersched.training._batching import Batching, StepPlan
from syne_hypersched.training._division import Part, divide, divide_virtually, epoch_order
from syne_hypersched.training._group import ProcessGroup
from syne_hypersched.training._random import derive_seed
from syne_hypersched.training._samples import SeededCollation, SeededSamples


class _Sampler:
    """Hands the indices of one part after the other to the DataLoader, and the parts themselves to the feed."""

    def __init__(self, as_tensor: bool) -> None:
        self._as_tensor = as_tensor
        self._pass: tuple[Tensor, int, Callable[[int], list[Part]], int, deque[Part]]

    def begin(
        self, order: Tensor, batch_size: int, split: Callable[[int], list[Part]], sample_seed: int
    ) -> deque[Part]:
        """Sets the samples of the next iteration; returns the queue that the parts handed out are added to."""
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


class Feed:
    """Fetches the samples that this device computes.

    Parameters
    ----------
    dataset
        Has ``__len__`` and ``__getitem__``.
    batching
        How large the batches are.
    group
        The processes of the launch.
    num_virtual
        Virtual devices among which each step is divided; None: the real ones.
    shuffle
        Whether each epoch has its own order.
    seed
        Seed of the order, of augmentation and of worker processes.
    options
        Options of :class:`torch.utils.data.DataLoader`.

    Raises
    ------
    TypeError
        The dataset has no length or cannot be indexed.
    ValueError
        The dataset is empty.
    """

    def __init__(
        self,
        dataset: Any,
        batching: Batching,
        group: ProcessGroup,
        num_virtual: int | None,
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
        self._group = group
        self._num_virtual = num_virtual
        self._shuffle = shuffle
        self._seed = seed
        options = dict(options)
        collate = options.pop("collate_fn", None)
        # A subclass may treat single samples in its own way, and a user's collation expects a list of samples.
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
        # Otherwise workers are seeded from the process-wide generator, whose state depends on what drew from it.
        generator = torch.Generator().manual_seed(derive_seed(seed, "workers"))
        self._fetcher: DataLoader[Any] = DataLoader(**samples, generator=generator, **options)
        #: How a step of one size is divided: the size asked for last.
        self._divided: dict[tuple[int, StepPlan], list[Part]] = {}

    def __len__(self) -> int:
        """Micro-batches that this device computes in a whole epoch at the present batch size."""
        plan = self.batching.plan
        whole, rest = divmod(len(self.dataset), plan.batch_size)
        sizes = [plan.batch_size] * bool(whole) + [rest] * bool(rest)
        parts = [len(self._divide(size, plan)) for size in sizes]
        return parts[0] * whole + sum(parts[1:]) if whole else sum(parts)

    def batches(self, epoch: int, num_done: int, plan: StepPlan) -> Generator[tuple[Part, Any], None, None]:
        """The batches of an epoch as this device computes them, without the first ``num_done`` samples."""
        order = epoch_order(len(self.dataset), self._seed, epoch, self._shuffle)[num_done:]
        parts = self._sampler.begin(
            order,
            plan.batch_size,
            lambda size: self._divide(size, plan),
            derive_seed(self._seed, "sample", epoch),
        )
        for batch in self._fetcher:
            yield parts.popleft(), _to_device(batch, self._group.device)

    def forget_division(self) -> None:
        """Divides the samples anew after the processes have changed."""
        self._divided = {}

    def close(self) -> None:
        """Ends the worker processes; a later iteration starts new ones."""
        self._fetcher._iterator = None

    def _divide(self, batch_size: int, plan: StepPlan) -> list[Part]:
        # Nearly all steps of an epoch are divided alike, and dividing takes about as long as a small step.
        if (batch_size, plan) not in self._divided:
            self._divided = {(batch_size, plan): self._divide_anew(batch_size, plan)}
        return self._divided[batch_size, plan]

    def _divide_anew(self, batch_size: int, plan: StepPlan) -> list[Part]:
        rank, num_ranks = self._group.rank, self._group.num_ranks
        if self._num_virtual is not None:
            return divide_virtually(batch_size, rank, num_ranks, self._num_virtual)
        return divide(batch_size, rank, num_ranks, plan.micro_batches)


def _to_device(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: _to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        moved = [_to_device(value, device) for value in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)
    return batch
