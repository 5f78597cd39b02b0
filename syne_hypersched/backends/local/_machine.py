"""The devices of a backend on this machine. Backends on other machines replace these methods."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from syne_hypersched.backends.machine.claims import claim
from syne_hypersched.backends.machine.device_locks import DeviceLocks
from syne_hypersched.backends.machine.discovery import Devices, DeviceType, find_devices
from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.shares import share_names


class OnThisMachine:
    """See the module."""

    devices: Devices
    _experiment_path: Path
    _locks: DeviceLocks
    _share_devices: bool | None
    _may_move: bool

    def _find_devices(
        self, num_devices: int | None, gpus_to_use: Sequence[int] | None, device_type: DeviceType
    ) -> Devices:
        """The devices that are there when the backend is made."""
        return find_devices(num_devices, gpus_to_use, device_type)

    def _make_pool(self, shares_per_gpu: int) -> DevicePool:
        """The pool of these devices, or of shares of them, whose GPU then counts as their node."""
        names, gpus = share_names(self.devices.names, shares_per_gpu)
        return DevicePool(names, gpus)

    def _claim_devices(self) -> None:
        """Takes hold of the devices, before the first trial is started."""
        experiment = self._experiment_path.name
        self.devices = claim(self.devices, self._locks, experiment, self._share_devices, self._may_move)
