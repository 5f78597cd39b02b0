"""The processes of a launch, which agree on the step after which they exit."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class Ranks:
    """The processes of a launch, if the framework has connected them. A single process needs no agreement.

    All processes call the methods in the same order.
    """

    def __init__(self) -> None:
        self._group: dist.ProcessGroup | None = None
        self._pending: tuple[Tensor, dist.Work] | None = None

    @property
    def is_main(self) -> bool:
        """Whether this process writes and reports."""
        return not _are_connected() or dist.get_rank() == 0

    def begin_agreement(self, demand: bool) -> None:
        """Starts to compute, in the background, whether any process makes a demand."""
        if _are_connected() and self._pending is None:
            value = torch.tensor([int(demand)], dtype=torch.int32)
            work = dist.all_reduce(value, dist.ReduceOp.MAX, group=self._cpu_group(), async_op=True)
            if work is not None:
                self._pending = (value, work)

    def agree(self, demand: bool) -> bool:
        """Whether any process made a demand when the agreement began. The result is the same in every process."""
        if not _are_connected():
            return demand
        self.begin_agreement(demand)
        pending, self._pending = self._pending, None
        if pending is None:
            return demand
        value, work = pending
        work.wait()
        return bool(value)

    def wait(self) -> None:
        """Waits until all processes have called this method."""
        if _are_connected():
            dist.barrier(group=self._cpu_group())

    def broadcast(self, value: Any) -> Any:
        """The value of rank 0."""
        if not _are_connected():
            return value
        values = [value]
        dist.broadcast_object_list(values, group=self._cpu_group())
        return values[0]

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in the order of their ranks."""
        if not _are_connected():
            return [value]
        values: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(values, value, group=self._cpu_group())
        return values

    def _cpu_group(self) -> dist.ProcessGroup:
        """A process group on the CPUs, so that an agreement does not wait for the GPUs."""
        if self._group is None:
            self._group = dist.new_group(backend="gloo")
        return self._group


def _are_connected() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
