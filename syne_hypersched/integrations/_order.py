"""The order of samples in an epoch. It is the same on any number of devices, and can begin at any step."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DistributedSampler, RandomSampler, Sampler, SequentialSampler

from syne_hypersched.integrations._batches import Share


def indices_of_rank(
    order: list[int], share: Share, num_ranks: int, rank: int, first_step: int = 0, drop_last: bool = False
) -> list[int]:
    """The samples that a rank computes, one micro-batch after another.

    Each step has the samples of one global batch, on any number of ranks. If the last batch of the epoch is smaller, it
    is filled with samples from its beginning until all ranks have the same number.

    Parameters
    ----------
    order
        Samples of the epoch.
    share
        The part of a step that a device computes.
    num_ranks, rank
        Number of ranks, and the rank of this process.
    first_step
        Number of steps of this epoch that are done.
    drop_last
        Whether a smaller last batch is left out.
    """
    at_once = num_ranks * share.local_batch_size
    batch_size = at_once * share.accumulation_steps
    found: list[int] = []
    for start in range(first_step * batch_size, len(order), batch_size):
        batch = order[start : start + batch_size]
        if len(batch) < batch_size and drop_last:
            break
        for first in range(0, len(batch), at_once):
            part = batch[first : first + at_once]
            missing = -len(part) % num_ranks
            part += (batch * num_ranks)[:missing]
            on_rank = len(part) // num_ranks
            found += part[rank * on_rank : (rank + 1) * on_rank]
    return found


class EpochOrder(Protocol):
    """The samples of an epoch in order, over all ranks, as a function of the epoch."""

    def __len__(self) -> int:
        """Number of samples of an epoch."""

    def __call__(self, epoch: int) -> list[int]:
        """The samples of an epoch, which is counted from 0."""


@dataclass(frozen=True)
class DatasetOrder:
    """All samples of a data set, either shuffled by the seed and the epoch, or in their own order."""

    dataset: Sized
    shuffle: bool
    seed: int

    def __len__(self) -> int:
        """Number of samples of an epoch."""
        return len(self.dataset)

    def __call__(self, epoch: int) -> list[int]:
        """The samples of an epoch, which is counted from 0."""
        size = len(self.dataset)
        if not self.shuffle:
            return list(range(size))
        order: list[int] = torch.randperm(size, generator=_generator(_number(self.seed, epoch))).tolist()
        return order


@dataclass(frozen=True)
class SamplerOrder:
    """The samples from a user's sampler, if random generators are seeded by the seed and the epoch."""

    sampler: Any
    seed: int

    def __len__(self) -> int:
        """Number of samples of an epoch."""
        return len(self.sampler)

    def __call__(self, epoch: int) -> list[int]:
        """The samples of an epoch, which is counted from 0."""
        number = _number(self.seed, epoch)
        set_epoch = getattr(self.sampler, "set_epoch", None)
        if callable(set_epoch):
            set_epoch(epoch)
        _seed_own(self.sampler, number)
        with _seeded(number):
            return list(self.sampler)

    def look(self) -> tuple[bool, str]:
        """Whether the order is a function of the epoch, and a digest of the order in the first epoch."""
        first = self(0)
        has_numbers = all(type(each) is int for each in first)
        content = np.asarray(first, np.int64).tobytes() if has_numbers else repr(first).encode()
        return first == self(0), hashlib.blake2b(content, digest_size=8).hexdigest()


def order_of(sampler: Any, dataset: Any, seed: int) -> EpochOrder | None:
    """The order in which a sampler yields the samples of a data set on one device.

    Parameters
    ----------
    sampler
        The user's sampler.
    dataset
        The data.
    seed
        Seed of random orders.

    Returns
    -------
    EpochOrder or None
        None: the sampler has no length, or a class of the user divides the samples over the ranks.
    """
    if type(sampler) is SequentialSampler:
        return DatasetOrder(dataset, False, seed)
    if type(sampler) is RandomSampler and not sampler.replacement and sampler.num_samples == len(dataset):
        return DatasetOrder(dataset, True, seed)
    if type(sampler) is DistributedSampler:
        return DatasetOrder(dataset, sampler.shuffle, seed)
    if isinstance(sampler, DistributedSampler) or not hasattr(type(sampler), "__len__"):
        return None
    return SamplerOrder(sampler, seed)


class ElasticSampler(Sampler[int]):
    """Yields the samples of a rank, in an order that depends only on the epoch.

    Its length is that of the whole epoch, even if some of its steps are done.

    Parameters
    ----------
    order
        The order of all samples.
    share, num_ranks, rank, drop_last
        See :func:`indices_of_rank`.
    place
        Returns the epoch, counted from 0, and the number of its steps that are done.
    """

    def __init__(
        self, order: EpochOrder, share: Share, num_ranks: int, rank: int, drop_last: bool,
        place: Callable[[], tuple[int, int]],
    ) -> None:  # fmt: skip
        self._order = order
        self._share, self._num_ranks, self._rank, self._drop_last = share, num_ranks, rank, drop_last
        self._place = place

    def __iter__(self) -> Iterator[int]:
        """The remaining samples of the epoch."""
        epoch, first_step = self._place()
        return iter(self._of_rank(self._order(epoch), first_step))

    def __len__(self) -> int:
        """Number of samples of the whole epoch for this rank."""
        return len(self._of_rank(list(range(len(self._order))), 0))

    def _of_rank(self, order: list[int], first_step: int) -> list[int]:
        return indices_of_rank(order, self._share, self._num_ranks, self._rank, first_step, self._drop_last)


def _number(seed: int, epoch: int) -> int:
    return 1_000_003 * seed + epoch


def _generator(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def _seed_own(sampler: Any, number: int) -> None:
    """Seeds the PyTorch generators that a sampler, or a sampler inside it, keeps."""
    for value in getattr(sampler, "__dict__", {}).values():
        if isinstance(value, torch.Generator):
            value.manual_seed(number)
        elif isinstance(value, Sampler):
            _seed_own(value, number)


@contextlib.contextmanager
def _seeded(number: int) -> Iterator[None]:
    """Context manager that seeds the global generators, except those of GPUs, and restores them."""
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    torch.default_generator.manual_seed(number)
    np.random.seed(number % 2**32)
    random.seed(number)
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])
