"""Changes of the devices in a pool, and their events, the same for every elastic backend.

The events ``join`` (devices were added), ``retire`` (devices will leave), ``lose`` (devices have left without notice)
and ``freed`` (retiring devices were released) belong to no trial. ``present`` is the number of present devices
afterwards, and ``holders`` has the trials that hold leaving devices: the event of their launch may come later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from syne_hypersched import checks
from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.retiring import choose_retiring

Record = Callable[..., None]
"""Writes an event, as :meth:`~syne_hypersched.backends.shared.events.EventLog.write` does."""

JOIN, RETIRE, LOSE, FREED = "join", "retire", "lose", "freed"


def join(
    pool: DevicePool,
    devices: Sequence[str],
    record: Record,
    reason: str = "",
    nodes: Mapping[str, str] | None = None,
    **details: Any,
) -> None:
    """Devices are there.

    Parameters
    ----------
    pool
        Where they join.
    devices
        Their names.
    record
        Writes the event.
    reason, details
        Why, in words, and more entries of the event.
    nodes
        The node of each device that was never there before, if nodes have names.

    Raises
    ------
    ValueError
        See :meth:`~syne_hypersched.backends.shared.devices.DevicePool.join`.
    """
    for device in devices:
        pool.join(device, "" if nodes is None else nodes[device])
    if devices:
        record(JOIN, devices=tuple(devices), reason=reason, present=pool.num_present, **details)


def retire(pool: DevicePool, devices: Sequence[str], record: Record, reason: str = "", **details: Any) -> None:
    """Retires devices: free ones leave at once, the others when their trials have been drained.

    Parameters
    ----------
    pool, devices, record, reason, details
        As in :func:`join`.
    """
    if devices:
        holders = _leaving(pool, devices, pool.retire)
        record(RETIRE, devices=tuple(devices), reason=reason, present=pool.num_present, holders=holders, **details)
        free = tuple(device for device in devices if device not in holders)
        if free:
            record(FREED, devices=free, present=pool.num_present)


def lose(pool: DevicePool, devices: Sequence[str], record: Record, reason: str = "", **details: Any) -> tuple[int, ...]:
    """Devices are gone.

    Parameters
    ----------
    pool, devices, record, reason, details
        As in :func:`join`.

    Returns
    -------
    tuple of int
        Trials that held some of them. Their processes must be killed, or are dead.
    """
    if not devices:
        return ()
    holders = _leaving(pool, devices, pool.lose)
    record(LOSE, devices=tuple(devices), reason=reason, present=pool.num_present, holders=holders, **details)
    return tuple(dict.fromkeys(holders.values()))


def _leaving(pool: DevicePool, devices: Sequence[str], leave: Callable[[str], int | None]) -> dict[str, int]:
    """Removes devices; returns the trials that hold some of them."""
    holders = {device: leave(device) for device in devices}
    return {device: trial_id for device, trial_id in holders.items() if trial_id is not None}


def release(pool: DevicePool, trial_id: int, record: Record) -> tuple[str, ...]:
    """Takes all devices from a trial whose processes have ended, and records the devices that leave.

    Returns
    -------
    tuple of str
        The devices that it held.
    """
    devices = pool.release(trial_id)
    tell_freed(pool, devices, record)
    return devices


def tell_freed(pool: DevicePool, devices: Sequence[str], record: Record) -> None:
    """Tells which of some devices, that a trial holds no more, have gone with that."""
    gone = tuple(device for device in devices if not pool.is_present(device))
    if gone:
        record(FREED, devices=gone, present=pool.num_present)


def change_to(
    pool: DevicePool,
    wanted: int | Sequence[str],
    barred: Sequence[str] = (),
    spared: int | None = None,
    leading: Collection[str] = (),
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The changes that lead to a number of present devices, or to certain ones.

    Retiring devices that are still held
    join again first, so that their trials keep them.

    Parameters
    ----------
    pool
        The devices.
    wanted
        The wanted number of devices, or their names.
    barred
        Devices that must not be used, such as broken ones.
    spared, leading
        As in :func:`~syne_hypersched.backends.shared.retiring.choose_retiring`.

    Returns
    -------
    tuple of two tuples of str
        Devices that retire and devices that join.

    Raises
    ------
    TypeError, ValueError
        ``wanted`` is neither a number from 0 to the nominal one nor a list of names of devices.
    """
    can_join = [device for device in pool.away if device not in barred]
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        names = checks.names("devices", wanted)
        unknown = [name for name in names if name not in pool.devices]
        if unknown:
            raise ValueError(f"devices must name some of {', '.join(pool.devices)}, but got {unknown[0]!r}")
        return (
            tuple(device for device in pool.present if device not in names),
            tuple(device for device in can_join if device in names),
        )
    number = checks.integer("num_devices", wanted, 0, len(pool), "the devices of the run")
    missing = number - pool.num_present
    if missing < 0:
        return choose_retiring(pool, -missing, spared, leading), ()
    retiring = set(pool.retiring)
    return (), tuple(sorted(can_join, key=lambda device: device not in retiring)[:missing])
