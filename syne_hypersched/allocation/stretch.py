"""The last stretch of the adaptive strategy: when to stop exploring, and for how many trials.

In the last stretch nothing new starts, and ever fewer trials, the best ones, share all devices. How long it is and how
many survive follows from what is measured: the scaling, the launch cost and the time of a full run. Where more devices
do not pay, or launches would take up too much of it, there is no last stretch at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from syne_hypersched._wording import counted
from syne_hypersched.allocation.resize import MIN_GAIN, growth_gain
from syne_hypersched.allocation.scaling import Scaling

LEAST_EFFICIENCY = 0.5
"""Least efficiency: a trial holds only as many devices as each do this share of the work of a single one."""

MOST_DEVICES = 8
"""Most devices for one trial: tables of measured scaling end here, and a second survivor is worth more than a ninth
device."""

LONGEST_SHARE = 0.5
"""The last stretch is at most this share of the deadline: half of the time is for finding something worth finishing."""

LENGTH_FACTOR = 1.5
"""Scales :func:`length_s`. Chosen on tables of real learning curves, where anything from 1 to 2 does as well."""

SURVIVORS = (4, 2, 1)
"""Trials for each full-size share of the devices, stage by stage; where there is time for fewer stages, the last of
them."""

LAUNCHES_PER_STAGE = 3
"""Least length of a stage, in launches: its survivors are relaunched at its start, and should train for most of it."""

LEAST_PROGRESS = 3.25
"""Least progress of all survivors of the last stage together, less their launches, relative to one trial on one device.
The loss from ending exploration does not depend on this progress. On the tables that were used for this choice, the
gain was 1.4 % in settings with 2.8 to 3.2 times, which is not significant, and 3 to 13 % in those with more."""


class Shares(NamedTuple):
    """Equal parts of the devices, each as large as one trial is to hold at most: full size.

    Example
    -------
    >>> from syne_hypersched.allocation.scaling import LinearScaling
    >>> full_size(LinearScaling(), num_devices=20)
    Shares(size=8, speed_up=8.0, number=2)
    """

    size: int
    """Devices of a trial at full size."""
    speed_up: float
    """Speed-up there, at least 1."""
    number: int
    """Trials at full size for which there are devices."""

    @property
    def in_words(self) -> str:
        """The trials and their devices, in a sentence."""
        each = " each" if self.number > 1 else ""
        return f"{counted(self.number, 'trial')} on {counted(self.size, 'device')}{each}"


def full_size(scaling: Scaling, num_devices: int, most_devices: int = MOST_DEVICES) -> Shares:
    """Shares with the largest number of devices that one trial is to hold: the most that it still uses efficiently.

    Parameters
    ----------
    scaling
        Speed-up of a trial by number of devices.
    num_devices
        All devices.
    most_devices
        Most devices for one trial.
    """
    sizes = scaling.usable_sizes(min(num_devices, most_devices))
    size = max(size for size in sizes if size == 1 or scaling.speed_up(size) >= LEAST_EFFICIENCY * size)
    return Shares(size, scaling.speed_up(size), num_devices // size)


def length_s(full_run_s: float, speed_up: float) -> float:
    """Seconds that the last stretch takes, unless half of the deadline is less.

    ``1.5 * (full run / s) * (1 - 1 / s)^2`` with the speed-up ``s`` at full size: the time of a full run on as many
    devices, less where these help little, since the time is then better spent on exploring.

    Parameters
    ----------
    full_run_s
        Seconds of a full run on one device.
    speed_up
        Speed-up at full size, at least 1.
    """
    return LENGTH_FACTOR * full_run_s / speed_up * (1 - 1 / speed_up) ** 2


def planned_s(deadline_s: float, full_run_s: float, speed_up: float, longest_share: float = LONGEST_SHARE) -> float:
    """Seconds before the deadline at which the last stretch begins: :func:`length_s`, at most a share of the deadline.

    Parameters
    ----------
    deadline_s
        Seconds from the start to the deadline.
    full_run_s
        Seconds of a full run on one device.
    speed_up
        Speed-up at full size, at least 1.
    longest_share
        Most of the deadline that it may take, from 0 to 1.
    """
    return min(longest_share * deadline_s, length_s(full_run_s, speed_up))


def length_from_now_s(
    now_s: float,
    time_left_s: float,
    full_run_s: float,
    shares: Shares,
    launch_cost_s: float,
    longest_share: float = LONGEST_SHARE,
) -> float:
    """Seconds of a last stretch that begins now, if the time ends with it; 0 where it would not pay.

    Parameters
    ----------
    now_s, time_left_s
        Seconds since the start, and until the deadline.
    full_run_s, shares, launch_cost_s, longest_share
        As in :func:`begins`; the share is that of the time that has passed at its end.
    """
    length = min(time_left_s, length_s(full_run_s, shares.speed_up))
    if longest_share < 1:
        length = min(length, now_s * longest_share / (1 - longest_share))
    return length if worthwhile(length, shares, launch_cost_s) else 0.0


def stages(length_s: float, size: int, launch_cost_s: float) -> tuple[int, ...]:
    """How many trials go on, for each full-size share of the devices, in the stages of a last stretch.

    Parameters
    ----------
    length_s
        Seconds that the last stretch takes.
    size
        Devices of a trial at full size.
    launch_cost_s
        What a launch costs.

    Returns
    -------
    tuple of int
        The end of :const:`SURVIVORS`, an entry for each stage, all of one length. In each a trial has two devices at
        least, since without growing trials it is better to explore on. Empty where launches leave no time for a single
        stage.
    """
    survivors = [number for number in SURVIVORS if 2 * number <= size]
    # Multiplied rather than divided, since launches may cost next to nothing.
    while survivors and len(survivors) * LAUNCHES_PER_STAGE * launch_cost_s > length_s:
        del survivors[0]
    return tuple(survivors)


def begins(
    time_left_s: float,
    deadline_s: float,
    full_run_s: float,
    shares: Shares,
    launch_cost_s: float,
    longest_share: float = LONGEST_SHARE,
) -> bool:
    """Whether the last stretch begins now.

    Parameters
    ----------
    time_left_s, deadline_s
        Seconds until the deadline, now and at the start.
    full_run_s
        Seconds of a full run on one device.
    shares
        Full size.
    launch_cost_s
        What a launch costs.
    longest_share
        Most of the deadline that it may take, from 0 to 1.
    """
    if time_left_s > planned_s(deadline_s, full_run_s, shares.speed_up, longest_share):
        return False
    return worthwhile(time_left_s, shares, launch_cost_s)


def worthwhile(length_s: float, shares: Shares, launch_cost_s: float) -> bool:
    """Whether a last stretch of this length has time for a stage, and more devices pay in it.

    They pay if in the last stage each trial makes more than :const:`~syne_hypersched.allocation.resize.MIN_GAIN` times
    the progress, and all together make :const:`LEAST_PROGRESS`.

    Parameters
    ----------
    length_s
        Seconds that the last stretch takes.
    shares
        Full size.
    launch_cost_s
        What a launch costs.
    """
    num_stages = len(stages(length_s, shares.size, launch_cost_s))
    if num_stages == 0:
        return False
    gain = _gain(1.0, shares.speed_up, length_s / num_stages, launch_cost_s)
    return gain > MIN_GAIN and shares.number * gain >= LEAST_PROGRESS


def pays(speed_up_held: float, speed_up_wanted: float, time_left_s: float, launch_cost_s: float) -> bool:
    """Whether a relaunch at another speed gains more than :const:`~syne_hypersched.allocation.resize.MIN_GAIN`."""
    return _gain(speed_up_held, speed_up_wanted, time_left_s, launch_cost_s) > MIN_GAIN


def _gain(speed_up_held: float, speed_up_wanted: float, time_left_s: float, launch_cost_s: float) -> float:
    speeds = (speed_up_held, speed_up_wanted)
    return growth_gain(0, 1, speeds.__getitem__, time_left_s, launch_cost_s)


def num_survivors(plan: Sequence[int], passed: float, num_devices: int, size: int) -> int:
    """How many trials go on.

    Parameters
    ----------
    plan
        What :func:`stages` has given, at least one entry.
    passed
        Share of the last stretch that has passed, from 0 to 1.
    num_devices
        All devices.
    size
        Devices of a trial at full size.

    Returns
    -------
    int
        From 1 to ``num_devices``.
    """
    stage = min(int(passed * len(plan)), len(plan) - 1)
    return max(1, min(num_devices, plan[stage] * num_devices // size))
