"""Divides a global batch over devices, so that it is the same on any number of devices."""

from __future__ import annotations

import os
from dataclasses import dataclass

from syne_hypersched import checks, variables


@dataclass(frozen=True)
class Share:
    """The part of a step that one device computes."""

    local_batch_size: int
    """Number of samples in a micro-batch on one device."""
    accumulation_steps: int
    """Number of micro-batches of a step on one device."""


def share_of(global_batch_size: int, num_devices: int, max_local_batch_size: int | None = None) -> Share:
    """Divides a global batch exactly, into as few micro-batches as the memory of a device permits.

    Parameters
    ----------
    global_batch_size
        Number of samples of an optimiser step, over all devices.
    num_devices
        Number of devices.
    max_local_batch_size
        Number of samples that fit into the memory of a device at once; None: any number.

    Raises
    ------
    ValueError
        A number is below 1, or the batch cannot be divided by the devices. A different batch would change the steps of
        an epoch, and the run could not continue at the same place.
    """
    checks.positive_integer("global_batch_size", global_batch_size)
    checks.positive_integer("num_devices", num_devices)
    if max_local_batch_size is not None:
        checks.positive_integer("max_local_batch_size", max_local_batch_size)
    if global_batch_size % num_devices:
        raise ValueError(
            f"global_batch_size must be a multiple of the {num_devices} devices of this launch, but got "
            f"{global_batch_size}; choose a multiple of all possible numbers of devices, such as "
            f"{num_devices * max(1, round(global_batch_size / num_devices))}"
        )
    on_device = global_batch_size // num_devices
    most = on_device if max_local_batch_size is None else min(on_device, max_local_batch_size)
    local = next(size for size in range(most, 0, -1) if on_device % size == 0)
    return Share(local, on_device // local)


def num_processes() -> int:
    """Number of processes of this launch, each with its own device; 1 if the script was started alone."""
    return max(1, variables.number(variables.WORLD_SIZE, 1, os.environ))
