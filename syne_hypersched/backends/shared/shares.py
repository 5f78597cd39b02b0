"""Shares of a GPU: several trials of one device on one GPU, while a trial on more has whole GPUs.

A device is then a share, and the node of a share is its GPU. Two ranks of one trial must not be on one GPU, since NCCL
refuses it, so a trial has one share or all shares of some GPUs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_MARK = "#"


def share_names(gpus: Sequence[str], shares_per_gpu: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of all shares, and the GPU of each; with one share for each GPU they are called as the GPUs are.

    Example
    -------
    >>> share_names(["0", "1"], 2)
    (('0#0', '1#0', '0#1', '1#1'), ('0', '1', '0', '1'))
    """
    if shares_per_gpu == 1:
        return tuple(gpus), ("",) * len(gpus)
    pairs = [(f"{gpu}{_MARK}{index}", gpu) for index in range(shares_per_gpu) for gpu in gpus]
    return tuple(name for name, _ in pairs), tuple(gpu for _, gpu in pairs)


def gpus_of(shares: Iterable[str]) -> tuple[str, ...]:
    """The GPUs of shares, each once."""
    return tuple(dict.fromkeys(share.partition(_MARK)[0] for share in shares))


def fitting(num_devices: int, shares_per_gpu: int) -> int:
    """The largest number of shares, up to a limit, that one trial can have: one share, or the shares of whole GPUs.

    Example
    -------
    >>> [fitting(number, 3) for number in range(1, 8)]
    [1, 1, 3, 3, 3, 6, 6]
    """
    return num_devices // shares_per_gpu * shares_per_gpu or min(num_devices, 1)


def is_out_of_memory(log: str) -> bool:
    """Whether the end of a log shows that a GPU ran out of memory."""
    log = log.lower()
    return "out of memory" in log or "outofmemoryerror" in log or "cuda_error_out_of_memory" in log
