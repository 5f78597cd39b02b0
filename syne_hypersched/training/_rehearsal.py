"""What PyTorch does only once in a process, done before a new process joins others, which would wait for it."""

from __future__ import annotations

import contextlib
import io

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import HashStore  # type: ignore[attr-defined]
from torch.nn.parallel import DistributedDataParallel

from syne_hypersched.training._group import leave_group


class _Product(nn.Module):
    """A model that draws no random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(64, 64))

    def forward(self, inputs: Tensor) -> Tensor:
        """The product with the weights."""
        return inputs @ self.weight


def rehearse_step(device: torch.device) -> None:
    """Reads a state, forms a group with nobody else, and computes one step of a tiny model in it.

    Afterwards, the first step with other processes takes as long as the next ones. Draws no random numbers, and leaves
    no group. The process must be in none.

    Parameters
    ----------
    device
        Where the step is computed.
    """
    if dist.is_initialized():
        return
    letter = io.BytesIO()
    torch.save({"weight": torch.ones(1)}, letter)
    letter.seek(0)
    torch.load(letter, weights_only=True)
    with contextlib.suppress(RuntimeError):  # the real step will tell
        try:
            dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
            model = _Product().to(device)
            DistributedDataParallel(model)(torch.ones(64, 64, device=device)).square().mean().backward()
            torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9).step()
        finally:
            leave_group([])
