"""Who holds which device: the one place where devices change hands, shared by all elastic backends."""

from __future__ import annotations

from collections.abc import Sequence


class DevicePool:
    """Devices and the trials that hold them. No device ever has two holders.

    Plain state without processes or clocks, so that schedules can be tested and simulated with it.

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
        #: Devices held by each trial; a trial without devices has no entry.
        self._held: dict[int, tuple[str, ...]] = {}
        #: How often each device was given to a trial so far, to rotate over devices.
        self._times_given = dict.fromkeys(self.devices, 0)

    def __len__(self) -> int:
        return len(self.devices)

    @property
    def holders(self) -> dict[int, tuple[str, ...]]:
        """Devices held by each trial that holds any (a copy)."""
        return dict(self._held)

    def held_by(self, trial_id: int) -> tuple[str, ...]:
        """Devices that the trial holds, empty if none."""
        return self._held.get(trial_id, ())

    @property
    def free(self) -> tuple[str, ...]:
        """Devices that nobody holds, in the order of :attr:`devices`."""
        taken = {device for devices in self._held.values() for device in devices}
        return tuple(device for device in self.devices if device not in taken)

    @property
    def num_free(self) -> int:
        """Number of devices that nobody holds."""
        return len(self.devices) - sum(map(len, self._held.values()))

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
        free = self.free
        if not 1 <= num_devices <= len(free):
            raise ValueError(f"num_devices must be from 1 to {len(free)}, the free devices, but got {num_devices}")
        if trial_id in self._held:
            raise ValueError(f"trial {trial_id} must release {self._held[trial_id]} before it acquires other devices")
        rotation = sorted(free, key=self._times_given.__getitem__)  # a stable sort: ties in the order of devices
        chosen = set(rotation[:num_devices])
        devices = tuple(device for device in free if device in chosen)
        for device in devices:
            self._times_given[device] += 1
        self._held[trial_id] = devices
        return devices

    def release(self, trial_id: int) -> tuple[str, ...]:
        """Takes all devices from a trial and returns them; a trial without devices gives none."""
        return self._held.pop(trial_id, ())
