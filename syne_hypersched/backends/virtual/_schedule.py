"""How many devices there are at which time of a simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from syne_hypersched import checks

DeviceSchedule = Sequence[tuple[float, int]]
"""From which time on (s) how many devices are there: pairs, the times ascending. Before the first all are there."""


def checked_schedule(schedule: Any, num_devices: int) -> tuple[tuple[float, int], ...]:
    """The schedule of devices, as a tuple; empty where all devices are always there.

    Parameters
    ----------
    schedule
        A :const:`DeviceSchedule`: pairs of a time and a number of devices, or None.
    num_devices
        Most devices that may be there.

    Raises
    ------
    TypeError, ValueError
        It is no sequence of such pairs, times do not ascend, a number is not from 0 to ``num_devices``, or the last
        one is 0: what waits would wait for ever.
    """
    if schedule is None:
        return ()
    rule = "pairs of a time and a number of devices, such as [(600, 2), (1200, 4)]"
    if isinstance(schedule, str) or not checks.is_iterable(schedule):
        raise TypeError(f"devices_over_time must be {rule}, but got {schedule!r}")
    checked: list[tuple[float, int]] = []
    for entry in schedule:
        if isinstance(entry, str) or not isinstance(entry, Sequence) or len(entry) != 2:
            raise TypeError(f"devices_over_time must be {rule}, but got {entry!r} in it")
        time_s = checks.seconds("each time in devices_over_time", entry[0])
        number = checks.integer("each number in devices_over_time", entry[1], 0, num_devices, "the number of devices")
        if checked and time_s <= checked[-1][0]:
            raise ValueError(f"devices_over_time must have ascending times, but got {time_s} after {checked[-1][0]}")
        checked.append((time_s, number))
    if checked and checked[-1][1] == 0:
        raise ValueError(f"devices_over_time must not end with 0 devices, but got {checked[-1]!r}")
    return tuple(checked)


class PoolClock:
    """Which change of the number of devices comes next."""

    def __init__(self, schedule: Sequence[tuple[float, int]]) -> None:
        self.schedule = tuple(schedule)
        self._num_done = 0

    @property
    def next_s(self) -> float:
        """Time of the next change, infinite if there is none."""
        return self.schedule[self._num_done][0] if self._num_done < len(self.schedule) else math.inf

    def take(self, time_s: float) -> list[int]:
        """The numbers of devices of the changes that are due by a time, in their order; each is taken once."""
        due = []
        while self.next_s <= time_s:
            due.append(self.schedule[self._num_done][1])
            self._num_done += 1
        return due
