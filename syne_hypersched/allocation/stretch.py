"""The last stretch of the adaptive strategy: when exploration ends, and how many trials go on.

In the last stretch no new trial starts, and a decreasing number of the best trials share all devices. Its length and
the number of survivors follow from measurements: the scaling, the launch cost and the time of a full run. If more
devices do not pay, or launches would take too much of it, there is no last stretch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from syne_hypersched._wording import counted
from syne_hypersched.allocation.resize import MIN_GAIN, growth_gain
from syne_hypersched.allocation.scaling import Scaling

LEAST_EFFICIENCY = 0.5
"""Minimum efficiency: each device of a trial must do at least this share of the work of a single device."""

MOST_DEVICES = 8
"""Maximum number of devices for one trial. Tables of measured scaling end here, and a second survivor is worth more
than a ninth device."""

LONGEST_SHARE = 0.5
"""The last stretch takes at most this share of the deadline: half of the time is for finding a good configuration."""

LENGTH_FACTOR = 1.5
"""Scales :func:`length_s`. Chosen on tables of real learning curves, where values from 1 to 2 are equally good."""

SURVIVORS = (4, 2, 1)
"""Number of trials for each full-size share of the devices, for each stage. If there is time for fewer stages, only the
last entries are used."""

LAUNCHES_PER_STAGE = 3
"""Minimum length of a stage, in launches: survivors are relaunched at its start, and should train for most of it."""

LEAST_PROGRESS = 3.25
"""Minimum progress of all survivors of the last stretch together, minus their launches, relative to one trial on one
device. The loss from ending exploration does not depend on this progress. On the tables that were used for this choice,
the gain was 1.4 % in settings with 2.8 to 3.2 times, which is not significant, and 3 to 13 % in settings with more."""


class Shares(NamedTuple):
    """Equal shares of the devices. Each has full size: the maximum that one trial may hold.

    Example
    -------
    >>> from syne_hypersched.allocation.scaling import LinearScaling
    >>> full_size(LinearScaling(), num_devices=20)
    Shares(size=8, speed_up=8.0, number=2)
    """

    size: int
    """Number of devices of a trial at full size."""
    speed_up: float
    """Speed-up at full size, at least 1."""
    number: int
    """Number of trials at full size for which there are devices."""

    @property
    def in_words(self) -> str:
        """The trials and their devices, as a part of a sentence."""
        each = " each" if self.number > 1 else ""
        return f"{counted(self.number, 'trial')} on {counted(self.size, 'device')}{each}"


def full_size(scaling: Scaling, num_devices: int, most_devices: int = MOST_DEVICES) -> Shares:
    """Shares with the largest number of devices that one trial may hold and still uses efficiently.

    Parameters
    ----------
    scaling
        Speed-up of a trial by number of devices.
    num_devices
        Number of all devices.
    most_devices
        Maximum number of devices for one trial.
    """
    sizes = scaling.usable_sizes(min(num_devices, most_devices))
    size = max(size for size in sizes if size == 1 or scaling.speed_up(size) >= LEAST_EFFICIENCY * size)
    return Shares(size, scaling.speed_up(size), num_devices // size)


def length_s(full_run_s: float, speed_up: float) -> float:
    """Length of the last stretch (s), unless half of the deadline is less.

    ``1.5 * (full run / s) * (1 - 1 / s)^2`` with the speed-up ``s`` at full size. This is the time of a full run on so
    many devices. It is reduced if these help little, since the time is then better used for exploration.

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
        Maximum share of the deadline for the last stretch, from 0 to 1.
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
    """Length (s) of a last stretch that begins now, if the time ends with it; 0 if it would not pay.

    Parameters
    ----------
    now_s, time_left_s
        Seconds since the start, and seconds until the deadline.
    full_run_s, shares, launch_cost_s, longest_share
        As in :func:`begins`. The share refers to the time that has passed at the end of the stretch.
    """
    length = min(time_left_s, length_s(full_run_s, shares.speed_up))
    if longest_share < 1:
        length = min(length, now_s * longest_share / (1 - longest_share))
    return length if worthwhile(length, shares, launch_cost_s) else 0.0


def stages(length_s: float, size: int, launch_cost_s: float) -> tuple[int, ...]:
    """How many trials go on, for each full-size share of the devices, in each stage of a last stretch.

    Parameters
    ----------
    length_s
        Length of the last stretch (s).
    size
        Number of devices of a trial at full size.
    launch_cost_s
        Cost of a launch (s).

    Returns
    -------
    tuple of int
        The end of :const:`SURVIVORS`, with one entry for each stage. All stages have the same length. In each stage, a
        trial has at least two devices, since without growing trials exploration is better. Empty if launches leave no
        time for a single stage.
    """
    survivors = [number for number in SURVIVORS if 2 * number <= size]
    # Multiply instead of dividing, since launches may cost almost nothing.
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
        Seconds until the deadline: now, and at the start.
    full_run_s
        Seconds of a full run on one device.
    shares
        The shares at full size.
    launch_cost_s
        Cost of a launch (s).
    longest_share
        Maximum share of the deadline for the last stretch, from 0 to 1.
    """
    if time_left_s > planned_s(deadline_s, full_run_s, shares.speed_up, longest_share):
        return False
    return worthwhile(time_left_s, shares, launch_cost_s)


def worthwhile(length_s: float, shares: Shares, launch_cost_s: float) -> bool:
    """Whether a last stretch of this length has time for a stage, and more devices pay in it.

    They pay under two conditions in the last stage: each trial makes more than
    :const:`~syne_hypersched.allocation.resize.MIN_GAIN` times the progress, and all together make
    :const:`LEAST_PROGRESS`.

    Parameters
    ----------
    length_s
        Length of the last stretch (s).
    shares
        The shares at full size.
    launch_cost_s
        Cost of a launch (s).
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
    """Number of trials that go on.

    Parameters
    ----------
    plan
        The result of :func:`stages`, with at least one entry.
    passed
        Share of the last stretch that has passed, from 0 to 1.
    num_devices
        Number of all devices.
    size
        Number of devices of a trial at full size.

    Returns
    -------
    int
        From 1 to ``num_devices``.
    """
    stage = min(int(passed * len(plan)), len(plan) - 1)
    return max(1, min(num_devices, plan[stage] * num_devices // size))
