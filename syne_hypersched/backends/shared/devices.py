"""Which trial holds which device, for all elastic backends: devices are acquired and released here and nowhere else."""

from __future__ import annotations

import heapq
from collections.abc import Sequence


class DevicePool:
    """Devices and the trials that hold them. No device ever has two holders.

    Plain state without processes or clocks, so that schedules can be tested and simulated with it. To acquire or
    release a device takes logarithmic time in their number.

    Parameters
    ----------
    devices
        Names of the devices, each once: what ``CUDA_VISIBLE_DEVICES`` would list, or names of CPU slots.

    Raises
    ------
    ValueError
        ``devices`` is empty or names a device twice.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        if not devices:
            raise ValueError("devices must name at least one device, but got none")
        if len(set(devices)) != len(devices):
            raise ValueError(f"devices must name each device once, but got {list(devices)}")
        #: All devices, in the order in which they were given; never changes.
        self.devices = tuple(devices)
        #: Positions of the devices held by each trial, ascending; a trial without devices has no entry.
        self._held: dict[int, tuple[int, ...]] = {}
        #: How often each device was given to a trial so far, to rotate over devices.
        self._times_given = [0] * len(self.devices)
        #: Heap of the free devices, as (times given, position).
        self._free = [(0, position) for position in range(len(self.devices))]

    def __len__(self) -> int:
        return len(self.devices)

    @property
    def holders(self) -> dict[int, tuple[str, ...]]:
        """Devices held by each trial that holds any (a copy)."""
        return {trial_id: self._names(positions) for trial_id, positions in self._held.items()}

    def held_by(self, trial_id: int) -> tuple[str, ...]:
        """Devices that the trial holds, empty if none."""
        return self._names(self._held.get(trial_id, ()))

    @property
    def free(self) -> tuple[str, ...]:
        """Free devices, in the order of :attr:`devices`."""
        return self._names(sorted(position for _, position in self._free))

    @property
    def num_free(self) -> int:
        """Number of free devices."""
        return len(self._free)

    def acquire(self, trial_id: int, num_devices: int) -> tuple[str, ...]:
        """Gives free devices to a trial, those first that were given away least often.

        Returns
        -------
        tuple of str
            The devices, in the order of :attr:`devices`.

        Raises
        ------
        ValueError
            ``num_devices`` is below 1 or more than are free, or the trial holds devices already.
        """
        if not 1 <= num_devices <= len(self._free):
            raise ValueError(
                f"num_devices must be from 1 to {len(self._free)}, the free devices, but got {num_devices}"
            )
        if trial_id in self._held:
            raise ValueError(f"trial {trial_id} must release {self.held_by(trial_id)} before it acquires other devices")
        positions = sorted(heapq.heappop(self._free)[1] for _ in range(num_devices))
        for position in positions:
            self._times_given[position] += 1
        self._held[trial_id] = tuple(positions)
        return self._names(positions)

    def release(self, trial_id: int) -> tuple[str, ...]:
        """Takes all devices from a trial and returns them; a trial without devices gives none."""
        positions = self._held.pop(trial_id, ())
        for position in positions:
            heapq.heappush(self._free, (self._times_given[position], position))
        return self._names(positions)

    def _names(self, positions: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.devices[position] for position in positions)
