"""The order of samples in an epoch: it is the same on any number of devices, and begins anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized

import torch
from torch.utils.data import Sampler

from syne_hypersched.integrations._batches import Share


def indices_of_rank(
    order: list[int], share: Share, num_ranks: int, rank: int, first_step: int = 0, drop_last: bool = False
) -> list[int]:
    """The samples that a rank computes, micro-batch after micro-batch.

    Each step has the samples of one global batch, whatever the number of ranks. If the last batch of the epoch is
    smaller, it is filled up with samples of its beginning until the ranks have equally many.

    Parameters
    ----------
    order
        Samples of the epoch.
    share
        What a device computes of a step.
    num_ranks, rank
        Number of ranks, and the one that asks.
    first_step
        Steps of this epoch that are done.
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


class ElasticSampler(Sampler[int]):
    """Yields the samples of a rank, in an order that depends on the seed and the epoch alone.

    Its length is that of the whole epoch, also if some steps of it are done.

    Parameters
    ----------
    dataset
        The data.
    share, num_ranks, rank, drop_last
        See :func:`indices_of_rank`.
    shuffle
        Whether each epoch has its own order.
    seed
        Seed of the order.
    place
        Returns the epoch, counted from 0, and the steps of it that are done.
    """

    def __init__(
        self, dataset: Sized, share: Share, num_ranks: int, rank: int, drop_last: bool, shuffle: bool, seed: int,
        place: Callable[[], tuple[int, int]],
    ) -> None:  # fmt: skip
        self._dataset = dataset
        self._share, self._num_ranks, self._rank, self._drop_last = share, num_ranks, rank, drop_last
        self._shuffle, self._seed = shuffle, seed
        self._place = place

    def __iter__(self) -> Iterator[int]:
        """The samples that are left of the epoch."""
        epoch, first_step = self._place()
        return iter(self._indices(epoch, first_step))

    def __len__(self) -> int:
        """Samples of the whole epoch for this rank."""
        return len(self._indices(0, 0))

    def _indices(self, epoch: int, first_step: int) -> list[int]:
        size = len(self._dataset)
        if self._shuffle:
            generator = torch.Generator().manual_seed(1_000_003 * self._seed + epoch)
            order: list[int] = torch.randperm(size, generator=generator).tolist()
        else:
            order = list(range(size))
        return indices_of_rank(order, self._share, self._num_ranks, self._rank, first_step, self._drop_last)
