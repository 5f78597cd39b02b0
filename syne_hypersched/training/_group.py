"""The processes that train one model together, one per device."""

from __future__ import annotations

import os
import socket
import threading
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]
from torch.distributed.constants import default_pg_timeout

from syne_hypersched._resize_desk import JOINS

_NCCL = "cuda:nccl,cpu:gloo"


class ProcessGroup:
    """The present process among those of the launch; one process needs no ``torch.distributed`` and does not start it.

    Reads the standard environment: ``RANK``, ``LOCAL_RANK``, ``WORLD_SIZE``, ``MASTER_ADDR``, ``MASTER_PORT``,
    ``OMP_NUM_THREADS``. Collectives run on NCCL where each process has a GPU of its own, and on Gloo otherwise.

    Attributes
    ----------
    rank, num_ranks
        This process among those with which it exchanges data now.
    size
        Processes that train the model, as soon as this one does.
    """

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", 0))
        self.num_ranks = self.size = int(os.environ.get("WORLD_SIZE", 1))
        #: Whether this process will join others that train already; until then it is alone.
        self.is_joining = JOINS in os.environ
        if self.is_joining:
            self.num_ranks = 1
        self.device = _choose_device()
        self._was_initialised = dist.is_initialized()
        #: A group of the CPUs, for exchanges that should not hold up the GPUs.
        self._cpu_group: dist.ProcessGroup | None = None
        self._pending: tuple[Tensor, dist.Work] | None = None
        if self.num_ranks > 1:
            if not self._was_initialised:
                if _is_loopback():
                    store = _loopback_store(self.rank, self.num_ranks)
                    backend = self._choose_backend(store, self.num_ranks)
                    dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.num_ranks)
                else:
                    dist.init_process_group(_NCCL if self.device.type == "cuda" else "gloo")
            self._cpu_group = dist.new_group(backend="gloo")

    @property
    def is_own(self) -> bool:
        """Whether this object alone decides which processes there are."""
        return not self._was_initialised

    def _choose_backend(self, store: Store, num_ranks: int) -> str:
        """NCCL if each process has a GPU of its own. It refuses two processes on one GPU, which Gloo serves as well."""
        if self.device.type == "cpu":
            return "gloo"
        gpus = PrefixStore("gpus", store)
        gpus.set(str(self.rank), str(torch.cuda.get_device_properties(self.device).uuid))
        return _NCCL if len({gpus.get(str(rank)) for rank in range(num_ranks)}) == num_ranks else "gloo"

    def form(self, store: Store, rank: int, num_ranks: int, timeout: timedelta) -> None:
        """Goes on in another group, after :meth:`disband`; each of its processes calls this.

        Parameters
        ----------
        store
            Where they meet, with a prefix of its own. It must live as long as the group.
        rank, num_ranks
            The rank of this process in the group, and how many processes it has.
        timeout
            After which it cannot be formed.

        Raises
        ------
        RuntimeError
            A process did not come.
        """
        self.rank = rank
        if num_ranks > 1:
            # NCCL connects at its first operation, and keeps its own time.
            backend = self._choose_backend(store, num_ranks)
            limit = timeout if backend == "gloo" else None
            dist.init_process_group(backend, timeout=limit, store=store, rank=self.rank, world_size=num_ranks)
            self._cpu_group = dist.new_group(backend="gloo", timeout=timeout)
        self.num_ranks = self.size = num_ranks
        self.is_joining = False

    def settle(self) -> None:
        """All processes of the group have formed it: from now on its operations may take as long as those of any."""
        if self.num_ranks > 1:
            for group in [self._cpu_group, *([dist.group.WORLD] if dist.get_backend() == "gloo" else [])]:
                dist.distributed_c10d._set_pg_timeout(default_pg_timeout, group)

    def disband(self) -> None:
        """Leaves the group; this process is alone then."""
        held: list[Any] = [self._cpu_group, self._pending]
        self._cpu_group = self._pending = None
        leave_group(held)
        self.num_ranks = 1

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all ranks."""
        if self.num_ranks > 1:
            dist.all_reduce(values)
        return values

    def broadcast(self, value: Any) -> Any:
        """The value that rank 0 has."""
        if self.num_ranks == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, group=self._cpu_group)
        return values[0]

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, for every rank."""
        if self.num_ranks == 1:
            return [value]
        values: list[Any] = [None] * self.num_ranks
        dist.all_gather_object(values, value, group=self._cpu_group)
        return values

    def begin_agreement(self, urgency: int) -> None:
        """Starts to compute the greatest ``urgency`` of any rank in the background, unless that is in progress."""
        if self.num_ranks > 1 and self._pending is None:
            value = torch.tensor([urgency], dtype=torch.int32)
            work = dist.all_reduce(value, dist.ReduceOp.MAX, group=self._cpu_group, async_op=True)
            self._pending = (value, work)

    def agree(self, urgency: int) -> int:
        """The greatest ``urgency`` of any rank when the agreement began, the same for every rank."""
        if self.num_ranks == 1:
            return urgency
        self.begin_agreement(urgency)
        pending, self._pending = self._pending, None
        if pending is None:  # for the type checker: it was begun above
            return urgency
        value, work = pending
        work.wait()
        return int(value)

    def close(self) -> None:
        """Ends the group if this object has started it; other processes that wait for this one fail at once."""
        if self.num_ranks > 1 and not self._was_initialised:
            self.disband()
        self._cpu_group = self._pending = None


def leave_group(held: list[Any]) -> None:
    """Leaves the default group, if there is one, without waiting until the threads of Gloo have ended.

    That takes some 20 ms for each group, in which the process would not train.

    Parameters
    ----------
    held
        Further groups, and what refers to them, to which there are no other references. The list is emptied.
    """
    if dist.is_initialized():
        held.append(dist.group.WORLD)
        dist.destroy_process_group()
    release_later(held)


def release_later(things: list[Any]) -> None:
    """Drops the references in a list, and empties it, in another thread: the last one to a group takes long."""
    threading.Thread(target=things.clear, name="released-groups").start()


def _is_loopback() -> bool:
    """Whether all processes are known to be on this machine, and no agent has connected them."""
    is_agent_there = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"  # torchrun provides the store
    return os.environ.get("MASTER_ADDR") in ("127.0.0.1", "localhost") and not is_agent_there


def _loopback_store(rank: int, num_ranks: int) -> TCPStore:
    """A store on the loopback device. PyTorch's own store listens on all network devices for any ``MASTER_ADDR``."""
    port = int(os.environ["MASTER_PORT"])
    listener = socket.create_server(("127.0.0.1", port)).detach() if rank == 0 else None
    return TCPStore("127.0.0.1", port, num_ranks, rank == 0, default_pg_timeout, master_listen_fd=listener)


def open_store(timeout: timedelta) -> TCPStore:
    """A store of this process, at a free port of the loopback device, for any number of others."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    return TCPStore("127.0.0.1", port, None, True, timeout, wait_for_workers=False, master_listen_fd=listener.detach())


def find_store(port: int, timeout: timedelta) -> TCPStore:
    """The store that another process has opened at this port."""
    return TCPStore("127.0.0.1", port, None, False, timeout, wait_for_workers=False)


def _choose_device() -> torch.device:
    """The GPU of this process where there is one, else the CPU with as many threads as this process may use."""
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
        torch.cuda.set_device(device)
        return device
    # PyTorch reads the variable when it is imported, perhaps before it was set for this trial. It may be a list, with a
    # number for each level of nested loops.
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if wanted.isdecimal() and int(wanted) > 0:
        torch.set_num_threads(int(wanted))
    return torch.device("cpu")
