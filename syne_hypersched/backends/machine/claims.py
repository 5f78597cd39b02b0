"""Which devices a backend takes for itself when its tuning starts, and what it says where others have them."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence

from syne_hypersched.backends.machine.device_locks import DeviceLocks, Holder, free_keys
from syne_hypersched.backends.machine.discovery import Devices, find_devices, installed_gpus

logger = logging.getLogger(__name__)

#: A message names at most so many devices of one holder.
_MOST_NAMED = 8


def claim(
    devices: Devices,
    locks: DeviceLocks,
    experiment: str,
    share_devices: bool | None,
    may_move: bool,
    installed: Callable[[], Sequence[str]] = installed_gpus,
) -> Devices:
    """Locks the devices of a backend, unless it holds locks already.

    If others hold all of them, and they are shared nevertheless, each further call tries again, without waiting and
    without another warning.

    Parameters
    ----------
    devices, locks
        The backend's.
    experiment
        Name of the experiment, for others to be told.
    share_devices
        Whether another experiment may have them as well. None: GPUs must not be shared, and for CPU slots there is a
        warning.
    may_move
        Whether CPU slots may be on other cores, if others have these.
    installed
        Gives the UUIDs of the GPUs.

    Returns
    -------
    Devices
        The devices: the same, but perhaps on other cores.

    Raises
    ------
    RuntimeError
        Others have some of them, and they must not be shared.
    """
    if locks.holds_any:
        return devices
    owner = f"experiment {experiment} (pid {os.getpid()})"
    keys_of = _gpu_keys(devices, installed()) if devices.are_gpus else _core_keys(devices)
    if locks.are_missing:
        locks.acquire(keys_of, owner, shared=bool(share_devices), patience_s=0.0)
        return devices
    holders = locks.acquire(keys_of, owner, shared=bool(share_devices))
    if not holders or share_devices:
        locks.are_missing = bool(holders)
        return devices
    if may_move and not devices.are_gpus:
        locks.release()
        free = [int(key.removeprefix("core-")) for key in free_keys(f"core-{core}" for core in _usable_cores())]
        if len(free) >= len(devices.names):
            moved = find_devices(len(devices.names), device_type="cpu", cores=free)
            if not locks.acquire(_core_keys(moved), owner):
                return moved
            locks.release()
        holders = locks.acquire(keys_of, owner)
        if not holders:
            return devices
    if share_devices is None and not devices.are_gpus:
        logger.warning(
            "%s: all of them train more slowly, and the measured times are not those of one experiment alone. Wait for "
            "its end, give each a part of the cores (with taskset, for example), or use ElasticLocalBackend(..., "
            "share_devices=True).", _who_holds(holders),
        )  # fmt: skip
        locks.are_missing = True
        return devices
    locks.release()
    choice = "other GPUs (gpus_to_use, CUDA_VISIBLE_DEVICES)" if devices.are_gpus else "other cores"
    raise RuntimeError(f"{_who_holds(holders)}. Wait for its end, use {choice}, or share them with share_devices=True")


def give_back(devices: Devices, names: Sequence[str], locks: DeviceLocks) -> None:
    """Lets other experiments have some of the devices, as far as none of the others consists of the same.

    Parameters
    ----------
    devices, locks
        The backend's.
    names
        The devices.
    """
    keys_of = _keys(devices)
    kept = {key for name, keys in keys_of.items() if name not in names for key in keys}
    locks.release(key for name in names for key in keys_of[name] if key not in kept)


def take_again(
    devices: Devices, names: Sequence[str], locks: DeviceLocks, experiment: str, share_devices: bool | None
) -> tuple[tuple[str, ...], str]:
    """Locks devices that were given back.

    Parameters
    ----------
    devices, names, locks
        As in :func:`give_back`.
    experiment, share_devices
        As in :func:`claim`.

    Returns
    -------
    tuple and str
        Those of the devices that may be used, and who holds the others; empty if nobody does.
    """
    owner, keys_of = f"experiment {experiment} (pid {os.getpid()})", _keys(devices)
    free: list[str] = []
    held: dict[str, list[str]] = {}
    for name in names:
        holders = locks.acquire({name: keys_of[name]}, owner, shared=bool(share_devices), patience_s=0.0)
        if holders and not share_devices and (share_devices is False or devices.are_gpus):
            for holder in holders:
                held.setdefault(holder.name, []).extend(holder.devices)
        else:
            free.append(name)
    return tuple(free), _who_holds([Holder(name, tuple(theirs)) for name, theirs in held.items()])


def _keys(devices: Devices) -> dict[str, Sequence[str]]:
    """By the name of each device, what it consists of."""
    if not devices.are_gpus:
        return dict(_core_keys(devices))
    return dict(zip(devices.names, _gpu_keys(devices, installed_gpus()).values(), strict=True))


def _who_holds(holders: Sequence[Holder]) -> str:
    return "; ".join(
        f"{_enumerate(holder.devices)} {'is' if len(holder.devices) == 1 else 'are'} held by {holder.name}"
        for holder in holders
    )


def _enumerate(names: Sequence[str]) -> str:
    if len(names) > _MOST_NAMED:
        return f"{', '.join(names[:_MOST_NAMED])} and {len(names) - _MOST_NAMED} others"
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _core_keys(devices: Devices) -> Mapping[str, Sequence[str]]:
    return {name: [f"core-{core}" for core in cores] for name, cores in devices.cores.items()}


def _usable_cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def _gpu_keys(devices: Devices, installed: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """The UUID of each GPU: what its index is depends on the environment."""
    keys = {}
    for token in devices.names:
        if token.isdigit() and int(token) < len(installed):
            uuid = installed[int(token)]
        else:
            uuid = next((uuid for uuid in installed if uuid.startswith(token)), token)
        keys[f"GPU {token}"] = ["gpu-" + re.sub(r"[^\w.-]", "_", uuid)]
    return keys
