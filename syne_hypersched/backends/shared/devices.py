"""Which trial holds which device, for all elastic backends: devices are acquired and released here and nowhere else.

Devices may come and go while trials run. A device *joins*. It *retires* with notice: its trial is drained, and the
device leaves when it is released. Or it is *lost* without notice: its processes are killed or counted as dead. Devices
that are in the pool and will stay are *present*. Their number never exceeds the nominal number, which is constant and
known to schedulers.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import Any

from syne_hypersched.backends.shared.placement import place
from syne_hypersched.contract import ST_DEVICES_PRESENT


class DevicePool:
    """Devices and the trials that hold them. No device ever has two holders.

    Plain state without processes or clocks, so that schedules can be tested and simulated with it. To acquire or
    release a device takes logarithmic time in their number.

    Parameters
    ----------
    devices
        Names of the devices, each once: entries of ``CUDA_VISIBLE_DEVICES``, or names of CPU slots.
    nodes
        The node of each of them; by default all are of one node, which is called ``""``.
    num_devices
        The nominal number: most devices that may be there at a time. By default as many as are there now.

    Raises
    ------
    ValueError
        ``devices`` names a device twice, or more than ``num_devices``, or there are never any; or ``nodes`` has another
        length.
    """

    def __init__(
        self, devices: Sequence[str], nodes: Sequence[str] | None = None, *, num_devices: int | None = None
    ) -> None:
        if not devices and not num_devices:
            raise ValueError("devices must name at least one device, but got none")
        if len(set(devices)) != len(devices):
            raise ValueError(f"devices must name each device once, but got {list(devices)}")
        if nodes is not None and len(nodes) != len(devices):
            raise ValueError(f"nodes must name the node of each of {len(devices)} devices, but got {list(nodes)}")
        #: The nominal number.
        self._num_devices = len(devices) if num_devices is None else num_devices
        if len(devices) > self._num_devices:
            raise ValueError(f"num_devices must be at least {len(devices)}, the devices there, but got {num_devices}")
        self._devices: list[str] = []
        self._nodes: list[str] = []
        self._positions: dict[str, int] = {}
        #: Positions of the devices held by each trial, ascending; a trial without devices has no entry.
        self._held: dict[int, tuple[int, ...]] = {}
        self._holder: dict[int, int] = {}
        #: How often each device was given to a trial so far, to rotate over devices.
        self._times_given: list[int] = []
        #: Heap of the free devices of each node, as (times given, position); no node is ever forgotten.
        self._free: dict[str, list[tuple[int, int]]] = {}
        #: Positions of the present devices; of retiring devices that are still held; and of those
        #: among the latter that are lost. All in the order in which it happened.
        self._present: dict[int, None] = {}
        self._retiring: dict[int, None] = {}
        self._lost: dict[int, None] = {}
        #: Nodes whose free devices are withheld from trials.
        self._shut: set[str] = set()
        for index, device in enumerate(devices):
            self.join(device, "" if nodes is None else nodes[index])

    @property
    def devices(self) -> tuple[str, ...]:
        """All devices that were ever there, in the order in which they joined."""
        return tuple(self._devices)

    def __len__(self) -> int:
        """The nominal number of devices."""
        return self._num_devices

    # Who holds what.

    @property
    def holders(self) -> dict[int, tuple[str, ...]]:
        """Devices held by each trial that holds any (a copy)."""
        return {trial_id: self._names(positions) for trial_id, positions in self._held.items()}

    def held_by(self, trial_id: int) -> tuple[str, ...]:
        """Devices that the trial holds, empty if none; retiring and lost ones count until they are released."""
        return self._names(self._held.get(trial_id, ()))

    @property
    def positions_held(self) -> Mapping[int, Sequence[int]]:
        """Positions in :attr:`devices` of what each trial holds that holds any (no copy)."""
        return self._held

    def num_held(self, trial_id: int) -> int:
        """Number of devices that the trial holds."""
        return len(self._held.get(trial_id, ()))

    def num_retiring(self, trial_id: int) -> int:
        """Number of devices that the trial holds and must give back, lost ones among them."""
        return sum(position in self._retiring for position in self._held.get(trial_id, ())) if self._retiring else 0

    def holder(self, device: str) -> int | None:
        """The trial that holds a device, if one does."""
        position = self._positions.get(device)
        return None if position is None else self._holder.get(position)

    def nodes_of(self, trial_id: int) -> dict[str, int]:
        """Number of devices that the trial holds on each node."""
        nodes: dict[str, int] = {}
        for position in self._held.get(trial_id, ()):
            nodes[self._nodes[position]] = nodes.get(self._nodes[position], 0) + 1
        return nodes

    def node_of(self, device: str) -> str:
        """The node of a device that was ever there."""
        return self._nodes[self._positions[device]]

    @property
    def free(self) -> tuple[str, ...]:
        """Free devices, in the order of :attr:`devices`."""
        return self._names(sorted(position for free in self._free.values() for _, position in free))

    @property
    def num_free(self) -> int:
        """Number of free devices, on nodes that are not shut."""
        if self._shut:
            return sum(self.free_by_node.values())
        free = self._free.values()
        if len(free) != 1:
            return sum(map(len, free))
        (heap,) = free  # of a single node, which is asked for at every launch
        return len(heap)

    @property
    def free_by_node(self) -> dict[str, int]:
        """Number of free devices of each node that is not shut, in the order in which nodes joined."""
        return {node: len(free) for node, free in self._free.items() if node not in self._shut}

    # What is there.

    @property
    def present(self) -> tuple[str, ...]:
        """Devices that are there and are not to go, in the order of :attr:`devices`."""
        return self._names(sorted(self._present))

    def is_present(self, device: str) -> bool:
        """Whether a device is there and is not to go."""
        return self._positions.get(device) in self._present

    @property
    def num_present(self) -> int:
        """Number of present devices, which schedulers can plan with."""
        return len(self._present)

    @property
    def num_usable(self) -> int:
        """Number of devices that are there and are not to go, without the free ones on nodes that are shut."""
        return len(self._present) - sum(len(self._free.get(node, ())) for node in self._shut)

    @property
    def retiring(self) -> tuple[str, ...]:
        """Devices that a trial holds still, but must give back; lost ones are among them."""
        return self._names(sorted(self._retiring))

    @property
    def any_retiring(self) -> bool:
        """Whether a trial must give back a device."""
        return bool(self._retiring)

    @property
    def lost(self) -> tuple[str, ...]:
        """Devices that are gone while a trial is not known to have left them."""
        return self._names(sorted(self._lost))

    def is_lost(self, trial_id: int) -> bool:
        """Whether a device of the trial is lost, so that its processes can only be killed, or are taken as dead."""
        return any(position in self._lost for position in self._held.get(trial_id, ())) if self._lost else False

    @property
    def away(self) -> tuple[str, ...]:
        """Devices that may join again: devices that have left, and retiring devices that are not lost."""
        return self._names([i for i in range(len(self._devices)) if i not in self._present and i not in self._lost])

    def tell(self, report: dict[str, Any]) -> None:
        """Adds the number of available devices to a delivered report if some are missing."""
        if self.num_present < self._num_devices:
            report[ST_DEVICES_PRESENT] = self.num_present
        else:
            report.pop(ST_DEVICES_PRESENT, None)

    # Devices come and go.

    def join(self, device: str, node: str = "") -> None:
        """Adds a device, new or known. A retiring device stays.

        Parameters
        ----------
        device
            Its name.
        node
            Its node. A device stays on the node on which it was first.

        Raises
        ------
        ValueError
            The device is present already, is lost and not yet released by its trial, or exceeds the nominal number.
        """
        position = self._positions.get(device)
        if position is not None and position in self._present:
            raise ValueError(f"device {device!r} must join once, but it is there already")
        if position is not None and position in self._lost:
            raise ValueError(f"device {device!r} must be released by trial {self._holder[position]} before it joins")
        if len(self._present) >= self._num_devices:
            raise ValueError(f"device {device!r} must not join, since there are {self._num_devices} devices already")
        if position is None:
            position = self._positions[device] = len(self._devices)
            self._devices.append(device)
            self._nodes.append(node)
            self._times_given.append(0)
        self._present[position] = None
        self._retiring.pop(position, None)
        if position not in self._holder:
            free = self._free.setdefault(self._nodes[position], [])
            heapq.heappush(free, (self._times_given[position], position))

    def retire(self, device: str) -> int | None:
        """Retires a device: it leaves at once if it is free, else when its trial releases it.

        Returns
        -------
        int or None
            The trial that holds the device and must be drained. None: the device has left.
        """
        return self._leave(device, lost=False)

    def lose(self, device: str) -> int | None:
        """A device is gone.

        Returns
        -------
        int or None
            The trial that held it. Its processes must be killed or are dead, and it must be released then.
        """
        return self._leave(device, lost=True)

    def shut(self, node: str, is_shut: bool = True) -> None:
        """Withholds the devices of a node from new launches until the node is opened again; running trials go on."""
        if is_shut:
            self._shut.add(node)
        else:
            self._shut.discard(node)

    def _leave(self, device: str, lost: bool) -> int | None:
        position = self._positions.get(device)
        if position is None or not (position in self._present or position in self._retiring):
            return None  # it is gone already
        self._present.pop(position, None)
        trial_id = self._holder.get(position)
        if trial_id is None:
            node = self._nodes[position]
            self._free[node] = [entry for entry in self._free[node] if entry[1] != position]
            heapq.heapify(self._free[node])
        else:
            self._retiring[position] = None
            if lost:
                self._lost[position] = None
        return trial_id

    # Trials get devices and give them back.

    def acquire(self, trial_id: int, num_devices: int, nodes: Mapping[str, int] | None = None) -> tuple[str, ...]:
        """Gives free devices to a trial: on as few nodes as possible, and the least often used devices of each.

        Parameters
        ----------
        trial_id, num_devices
            The trial, and the number of devices to give to it.
        nodes
            How many of them on which nodes, as :func:`~syne_hypersched.backends.shared.reconcile.reconcile` has said;
            by default, or if empty, those that
            :func:`~syne_hypersched.backends.shared.placement.place` chooses.

        Returns
        -------
        tuple of str
            The devices, in the order of :attr:`devices`.

        Raises
        ------
        ValueError
            ``num_devices`` is below 1 or more than are free (on these nodes), or the trial holds devices already.
        """
        if trial_id in self._held:
            raise ValueError(f"trial {trial_id} must release {self.held_by(trial_id)} before it acquires other devices")
        if not nodes and len(self._free) == 1 and not self._shut:  # of a single node there is nothing to choose
            (heap,) = self._free.values()
            positions = [heapq.heappop(heap)[1] for _ in range(num_devices)] if num_devices <= len(heap) else []
        else:
            positions = self._take_on(nodes or place(self.free_by_node, num_devices), num_devices)
        if not positions:
            where = f" on nodes {dict(nodes)}" if nodes else ""
            raise ValueError(
                f"num_devices must be from 1 to {self.num_free}, the free devices, but got {num_devices}{where}"
            )
        positions.sort()
        for position in positions:
            self._times_given[position] += 1
            self._holder[position] = trial_id
        self._held[trial_id] = tuple(positions)
        return self._names(positions)

    def _take_on(self, placed: Mapping[str, int], num_devices: int) -> list[int]:
        """Takes the positions of free devices, a number on each node; empty if there are not enough."""
        free = self.free_by_node
        if sum(placed.values()) != num_devices or any(n > free.get(i, 0) for i, n in placed.items()):
            return []
        return [heapq.heappop(self._free[node])[1] for node, number in placed.items() for _ in range(number)]

    def extend(self, trial_id: int, num_devices: int) -> tuple[str, ...]:
        """Gives further free devices to a trial that holds some; returns them as :meth:`acquire` does.

        Raises
        ------
        ValueError
            ``num_devices`` is below 1 or more than are free, or the trial holds no device.
        """
        if trial_id not in self._held:
            raise ValueError(f"trial {trial_id} must hold devices before it gets further ones, but holds none")
        before = self._held.pop(trial_id)
        try:
            added = self.acquire(trial_id, num_devices)
        finally:
            self._held[trial_id] = tuple(sorted((*before, *self._held.get(trial_id, ()))))
        return added

    def give_back(self, trial_id: int, devices: Sequence[str]) -> None:
        """Takes some of its devices from a trial.

        Raises
        ------
        ValueError
            It does not hold one of them.
        """
        positions = [self._positions.get(device, -1) for device in devices]
        held = self._held.get(trial_id, ())
        if not set(positions) <= set(held):
            raise ValueError(f"devices must be among {self.held_by(trial_id)}, but got {tuple(devices)}")
        left = tuple(position for position in held if position not in positions)
        self._held[trial_id] = tuple(positions)
        self.release(trial_id)
        if left:
            self._held[trial_id] = left

    def release(self, trial_id: int) -> tuple[str, ...]:
        """Takes all devices from a trial and returns them; a trial without devices gives none.

        Present devices become free; retiring and lost devices leave the pool.
        """
        positions = self._held.pop(trial_id, ())
        for position in positions:
            del self._holder[position]
            self._lost.pop(position, None)
            if position in self._present:
                heapq.heappush(self._free[self._nodes[position]], (self._times_given[position], position))
            else:
                del self._retiring[position]
        return self._names(positions)

    def _names(self, positions: Sequence[int]) -> tuple[str, ...]:
        devices = self._devices
        if len(positions) == 1:
            return (devices[positions[0]],)
        return tuple([devices[position] for position in positions])
