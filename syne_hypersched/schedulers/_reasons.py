"""Why HyperSched decides something: a text for people, and the numbers that decided."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from syne_hypersched._wording import seconds_text
from syne_hypersched.allocation.resize import growth_gain
from syne_hypersched.rungs import Rung


class Reason(NamedTuple):
    """Why something was decided."""

    text: str
    """In words, without a full stop."""
    numbers: Mapping[str, float]
    """The numbers that decided, by name, all finite: seconds have the suffix ``_s``, ranks count from 1, the best."""


NO_REASON = Reason("", {})
"""If there is nothing to add to the decision."""


def because(text: str, **numbers: float | None) -> Reason:
    """A reason; numbers that are None or not finite are left out, since JSON has none."""
    return Reason(
        text, {name: number for name, number in numbers.items() if number is not None and math.isfinite(number)}
    )


NOT_FINITE = because("its metric is not a finite number")
"""Why a trial that has diverged is paused."""


def weak_at(trial_id: int, rung: Rung, reduction_factor: float) -> Reason:
    """The trial is not among the best ``1 / reduction_factor`` of a rung at which it has recorded a value."""
    rank, num_recorded = rung.num_better(rung.value(trial_id)) + 1, len(rung)
    return because(
        f"rank {rank} of {num_recorded} at the rung of level {rung.level:g}, where one in {reduction_factor:g} goes on",
        rung=rung.level,
        rank=rank,
        num_recorded=num_recorded,
        reduction_factor=reduction_factor,
    )


def resizing(
    devices: tuple[int, int],
    rank: int,
    num_live: int,
    speed_up: Callable[[int], float],
    time_left_s: float,
    launch_cost_s: float,
    aim: str = "",
) -> Reason:
    """A trial grows because it pays off, or shrinks to its share.

    Parameters
    ----------
    devices
        Numbers of devices before and after.
    rank
        Rank of the trial among the trials that share the devices.
    num_live
        Number of these.
    speed_up
        Speed of the trial by number of devices, in any unit.
    time_left_s, launch_cost_s
        Seconds until the deadline, and what a launch costs.
    aim
        Further purpose of the resize, in words.
    """
    held, wanted = devices
    gain = growth_gain(held, wanted, speed_up, time_left_s, launch_cost_s)
    if wanted > held:
        verb, what_for = "grows", f"makes {gain:.3g} times the progress in the {seconds_text(time_left_s, 3)} s left"
        what_for += f", a launch of {seconds_text(launch_cost_s, 3)} s included"
    else:
        verb, what_for = "shrinks", f"that is its share with {seconds_text(time_left_s, 3)} s left"
    return because(
        f"{verb} from {held} to {wanted} devices: rank {rank} of {num_live}, {what_for}{aim}",
        from_devices=held,
        to_devices=wanted,
        rank=rank,
        num_live=num_live,
        speed_up=speed_up(wanted) / speed_up(held),
        gain=gain,
        time_left_s=time_left_s,
        launch_cost_s=launch_cost_s,
    )
