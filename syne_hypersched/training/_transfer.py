"""Sends the state of a run from the memory of one process to that of others, through a process group of its own."""

from __future__ import annotations

import copy
import io
import itertools
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]

from syne_hypersched.training._group import release_later

#: Tensors of fewer bytes are sent together.
_SMALL_BYTES = 1 << 16
_KEY = "state"
#: Seconds in which the processes connect, and bytes of a tensor that take one second more at most.
_TIMEOUT_S = 10.0
_BYTES_PER_S = 2e7
#: Tensors that are sent at the same time, besides the one that is waited for.
_NUM_AHEAD = 7


@dataclass
class _Envelope:
    """A state without its tensors, and the description of these."""

    token: str = field(default_factory=lambda: secrets.token_hex(8))
    tensors: list[Tensor] = field(default_factory=list)

    def put(self, tensor: Tensor) -> str:
        """Takes a tensor; returns its placeholder."""
        self.tensors.append(tensor.detach())
        return f"{self.token}:{len(self.tensors) - 1}"


def send(state: Any, store: Store, num_receivers: int) -> None:
    """Sends a state of tensors, numbers, strings and containers of them to all other processes.

    Parameters
    ----------
    state
        The state; it is not copied, except for tensors of a GPU, one after the other.
    store
        Where the processes meet; with a prefix of its own.
    num_receivers
        How many call :func:`receive`.

    Raises
    ------
    RuntimeError
        A process was lost.
    """
    envelope = _Envelope()
    skeleton = _map(state, Tensor, envelope.put)
    found = [(str(tensor.dtype).removeprefix("torch."), list(tensor.shape)) for tensor in envelope.tensors]
    buffer = io.BytesIO()
    torch.save({"token": envelope.token, "tensors": found, "state": skeleton}, buffer)
    store.set(_KEY, buffer.getvalue())  # type: ignore[arg-type]
    sizes = [_num_bytes(*entry) for entry in found]
    if not any(sizes):
        return
    small, large = _sorted_by_size(sizes)
    together = [torch.cat([_as_bytes(envelope.tensors[index]) for index in small])] if small else []
    rest = (_as_bytes(envelope.tensors[index]) for index in large)
    _broadcast(_group(store, 0, num_receivers), itertools.chain(together, rest))


def receive(store: Store, number: int, num_receivers: int) -> Any:
    """The state that :func:`send` sends in another process; ``number`` counts the receivers from 1.

    Raises
    ------
    RuntimeError
        The other process was lost.
    """
    store.wait([_KEY], timedelta(seconds=_TIMEOUT_S))
    letter = torch.load(io.BytesIO(store.get(_KEY)), map_location="cpu", weights_only=True)
    sizes = [_num_bytes(*entry) for entry in letter["tensors"]]
    small, large = _sorted_by_size(sizes)
    content = {index: torch.empty(sizes[index], dtype=torch.uint8) for index in large}
    together = torch.empty(sum(sizes[index] for index in small), dtype=torch.uint8)
    if any(sizes):
        _broadcast(_group(store, number, num_receivers), [*([together] if small else []), *content.values()])
    parts = together.split([sizes[index] for index in small])  # type: ignore[no-untyped-call]
    content |= {index: part.clone() for index, part in zip(small, parts, strict=True)}

    def restored(text: str) -> Any:
        if not text.startswith(f"{letter['token']}:"):
            return text
        index = int(text.partition(":")[2])
        dtype, shape = letter["tensors"][index]
        return content[index].view(getattr(torch, dtype)).reshape(shape)

    return _map(letter["state"], str, restored)


def _map(state: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """The same containers, with every value of a kind changed."""
    if isinstance(state, kind):
        return change(state)
    if isinstance(state, dict):
        changed = copy.copy(state)  # a model's state has its version numbers as an attribute
        for key, value in state.items():
            changed[key] = _map(value, kind, change)
        return changed
    if isinstance(state, (list, tuple)):
        entries = [_map(value, kind, change) for value in state]
        return type(state)(*entries) if hasattr(state, "_fields") else type(state)(entries)
    return state


def _num_bytes(dtype: str, shape: list[int]) -> int:
    return torch.Size(shape).numel() * int(getattr(torch, dtype).itemsize)


def _sorted_by_size(sizes: list[int]) -> tuple[list[int], list[int]]:
    """The numbers of small and of large tensors; empty tensors are not sent."""
    small = [index for index, size in enumerate(sizes) if size < _SMALL_BYTES]
    return small, [index for index, size in enumerate(sizes) if size >= _SMALL_BYTES]


def _as_bytes(tensor: Tensor) -> Tensor:
    return tensor.cpu().contiguous().reshape(-1).view(torch.uint8)


def _group(store: Store, rank: int, num_receivers: int) -> list[Any]:
    """A group in a list, the only reference to it."""
    timeout = timedelta(seconds=_TIMEOUT_S)
    return [dist.ProcessGroupGloo(PrefixStore("tensors", store), rank, num_receivers + 1, timeout)]


def _broadcast(group: list[Any], tensors: Iterable[Tensor]) -> None:
    """Sends tensors of the first process to all others, some at a time, and leaves the group.

    Waits until each process has reached all others, which fails if one of them has left.
    """
    under_way: deque[tuple[Any, Tensor]] = deque()
    try:
        for tensor in tensors:
            if tensor.numel():
                timeout = timedelta(seconds=_TIMEOUT_S + _NUM_AHEAD * tensor.numel() / _BYTES_PER_S)
                under_way.append((group[0].broadcast(tensor, 0, timeout), tensor))
            if len(under_way) > _NUM_AHEAD:
                under_way.popleft()[0].wait()
        while under_way:
            under_way.popleft()[0].wait()
        group[0].barrier().wait()
    finally:
        release_later(group)
