"""Divides an epoch into steps, a step into micro-batches, and a micro-batch over the devices.

The order of the samples and the global batch of each step depend on the seed and the epoch alone. Devices only divide
what each of them computes, so their number may change at any step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from syne_hypersched.training._random import derive_seed


@dataclass(frozen=True)
class Part:
    """The share of one device in one micro-batch of a step."""

    rows: Tensor
    """Positions in the global batch, shape (samples,); one of another device's if this one has no samples."""
    num_samples: int
    """Samples that count: the length of ``rows``, or 0 if this device has no samples."""
    batch_size: int
    """Samples of the step, over all devices and micro-batches."""
    num_devices: int
    """Devices among which the step is divided, virtual ones if there are any."""
    is_last: bool
    """Whether the step ends with this micro-batch."""
    is_even: bool
    """Whether each device has the same number of samples in each micro-batch."""

    @property
    def loss_weight(self) -> float:
        """Factor for the mean loss of this part.

        Gradients are added up over micro-batches and averaged over devices; with this factor that is the gradient of
        the mean loss over the global batch, however unevenly it is divided.
        """
        return self.num_samples * self.num_devices / self.batch_size


def epoch_order(num_samples: int, seed: int, epoch: int, shuffle: bool) -> Tensor:
    """Indices of the samples in the order in which an epoch visits them, shape (num_samples,)."""
    if not shuffle:
        return torch.arange(num_samples)
    return torch.randperm(num_samples, generator=torch.Generator().manual_seed(derive_seed(seed, "order", epoch)))


def divide(batch_size: int, rank: int, num_ranks: int, micro_batches: int) -> list[Part]:
    """The parts of one step that a device computes, one for each micro-batch.

    Parameters
    ----------
    batch_size
        Samples of the step, at least 1; fewer than planned in the last step of an epoch.
    rank, num_ranks
        This device among all.
    micro_batches
        Micro-batches of a step, at least 1.

    Returns
    -------
    list of Part
        Over all ranks, every position of the batch counts in exactly one part.
    """
    micro_batches = min(micro_batches, -(-batch_size // num_ranks))
    is_even = batch_size % (num_ranks * micro_batches) == 0
    shares = torch.arange(batch_size)[rank::num_ranks].tensor_split(micro_batches)
    # Most models cannot compute an empty batch, and the other devices wait for this one in the backward pass. A device
    # without samples therefore computes the first one, which does not count.
    idle = torch.zeros(1, dtype=torch.long)
    return [
        Part(
            rows=share if len(share) else idle,
            num_samples=len(share),
            batch_size=batch_size,
            num_devices=num_ranks,
            is_last=number == micro_batches,
            is_even=is_even,
        )
        for number, share in enumerate(shares, start=1)
    ]


def divide_virtually(batch_size: int, rank: int, num_ranks: int, num_virtual: int) -> list[Part]:
    """The parts of one step that a device computes in place of several virtual ones, one for each of them.

    Parameters
    ----------
    batch_size, rank, num_ranks
        As for :func:`divide`.
    num_virtual
        Virtual devices, a multiple of ``num_ranks``; the first device has the first ones, and so on.
    """
    own = num_virtual // num_ranks
    parts = [divide(batch_size, virtual, num_virtual, 1)[0] for virtual in range(rank * own, (rank + 1) * own)]
    return [replace(part, is_last=False) for part in parts[:-1]] + parts[-1:]
