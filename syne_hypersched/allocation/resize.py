"""The resize rule of HyperSched: whether a trial continues with another number of devices.

Shrinking always happens. Growing must pay for the launch that it costs: the progress until the deadline on more
devices, minus the launch, must exceed the progress without it by :const:`MIN_GAIN` (Liaw et al., HyperSched, 2019).
"""

from __future__ import annotations

from collections.abc import Callable

MIN_GAIN = 1.1
"""Minimum ratio of the progress until the deadline with growing to the progress without it."""


def growth_gain(
    held: int, wanted: int, speed_up: Callable[[int], float], time_left_s: float, launch_cost_s: float
) -> float:
    """Progress until the deadline on ``wanted`` devices, minus a launch, divided by the progress on ``held`` devices.

    ``s(wanted) * (time_left - launch_cost) / (s(held) * time_left)``; 0 if a launch leaves no time to train.
    """
    if time_left_s <= 0 or launch_cost_s >= time_left_s:
        return 0.0
    return speed_up(wanted) * (time_left_s - launch_cost_s) / (speed_up(held) * time_left_s)


def resized(
    held: int,
    wanted: int,
    *,
    num_free: int,
    reports_since_resize: int,
    recharge_period: int,
    speed_up: Callable[[int], float],
    time_left_s: float,
    launch_cost_s: float,
) -> int:
    """The number of devices on which a trial that has just reported continues.

    Parameters
    ----------
    held
        Number of devices on which the trial runs.
    wanted
        Number of devices that the allocation policy gives it.
    num_free
        Number of devices that no trial holds.
    reports_since_resize
        Number of reports of the trial since it was last started, resumed or resized.
    recharge_period
        Growing needs more reports than this, since a trial needs some time to adjust to a new number of devices.
    speed_up
        Speed-up by number of devices, 1 on one device.
    time_left_s
        Seconds until the deadline. If none are left, nothing can be gained, and the trial does not change.
    launch_cost_s
        Cost of a launch (s).

    Returns
    -------
    int
        ``wanted`` or ``held``.
    """
    if time_left_s <= 0:
        return held
    if wanted <= held:
        return wanted
    if wanted - held > num_free or reports_since_resize <= recharge_period:
        return held
    gain = growth_gain(held, wanted, speed_up, time_left_s, launch_cost_s)
    return wanted if gain > MIN_GAIN else held
