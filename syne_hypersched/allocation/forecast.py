"""Known future changes of the number of devices, and the mean number until a deadline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from syne_hypersched import checks

Forecast = tuple[tuple[float, int], ...]
"""Pairs of a time and the number of devices from then on, in ascending order of time."""


def forecast(pairs: Any) -> Forecast:
    """Checks the known changes.

    Raises
    ------
    TypeError, ValueError
        ``pairs`` is not a sequence of pairs of a time (ascending) and a number of devices of at least 0.
    """
    rule = "pairs of a time and a number of devices, such as [(600, 2), (1200, 4)]"
    if isinstance(pairs, str) or not checks.is_iterable(pairs):
        raise TypeError(f"devices_over_time must be {rule}, but got {pairs!r}")
    checked: list[tuple[float, int]] = []
    for pair in pairs:
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise TypeError(f"devices_over_time must be {rule}, but got {pair!r} in it")
        time_s = checks.seconds("each time in devices_over_time", pair[0])
        if checked and time_s <= checked[-1][0]:
            raise ValueError(f"devices_over_time must have ascending times, but got {time_s} after {checked[-1][0]}")
        checked.append((time_s, checks.integer("each number in devices_over_time", pair[1], at_least=0)))
    return tuple(checked)


def mean_devices(known: Forecast, num_devices: int, start_s: float, end_s: float) -> float:
    """Mean number of devices between two times.

    Example
    -------
    >>> mean_devices(((50.0, 4),), num_devices=8, start_s=0.0, end_s=100.0)
    6.0

    Parameters
    ----------
    known
        The known changes.
    num_devices
        Number of devices before the first change, and the maximum.
    start_s, end_s
        The two times. If the second is not later than the first, the number at the first one is returned.
    """
    number, total, since_s = num_devices, 0.0, start_s
    for time_s, there in known:
        if time_s <= start_s:
            number = min(there, num_devices)
        elif time_s < end_s:
            total += number * (time_s - since_s)
            number, since_s = min(there, num_devices), time_s
    return number if end_s <= start_s else (total + number * (end_s - since_s)) / (end_s - start_s)
