"""The resize rule of HyperSched: whether a trial goes on with another number of devices.

Shrinking always happens. Growing must pay for the launch it costs: the progress until the deadline on more devices,
less the launch, must exceed the progress without it by :const:`MIN_GAIN` (Liaw et al., HyperSched, 2019).
"""

from __future__ import annotations

from collections.abc import Callable

MIN_GAIN = 1.1
"""Progress until the deadline, with growing over without it, that growing must exceed."""


def growth_gain(
    held: int, wanted: int, speed_up: Callable[[int], float], time_left_s: float, launch_cost_s: float
) -> float:
    """Progress until the deadline on ``wanted`` devices, less a launch, over the progress on ``held`` devices.

    ``s(wanted) * (time_left - launch_cost) / (s(held) * time_left)``; 0 where a launch leaves no time to train.
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
    """The number of devices with which a trial that has just reported goes on.

    Parameters
    ----------
    held
        Devices on which the trial runs.
    wanted
        Devices that the allocation policy gives it.
    num_free
        Devices that no trial holds.
    reports_since_resize
        Reports of the trial since it was last started, resumed or resized.
    recharge_period
        Growing needs more reports than this: a trial takes a while to adjust to another number of devices.
    speed_up
        Scaling, 1 on one device.
    time_left_s
        Seconds until the deadline. None are left to gain after it: the trial stays as it is.
    launch_cost_s
        What a launch costs.

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
