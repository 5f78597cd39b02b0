"""How much faster a simulated trial trains on several devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from syne_hypersched.allocation.scaling import PUBLISHED_SCALING, TableScaling, make_scaling
from syne_hypersched.blackboxes import LearningCurve

ScalingLike = str | Mapping[int, float] | Callable[[int], float]
"""A name of :const:`~syne_hypersched.allocation.scaling.PUBLISHED_SCALING`, ``"linear"``, ``"none"``, ``"measured"``, a
table that contains 1, or a callable from a number of devices to the speed-up."""


class SameForAll:
    """One scaling for all configurations."""

    def __init__(self, table: Mapping[int, float], num_devices: int) -> None:
        scaling = TableScaling(table)
        self._speed_ups = [scaling.speed_up(size) for size in range(1, num_devices + 1)]

    def __call__(self, curve: LearningCurve, num_devices: int) -> float:
        """The speed-up on ``num_devices``, whatever the configuration."""
        return self._speed_ups[num_devices - 1]


class MeasuredSpeedUp:
    """The scaling that the blackbox has measured for each configuration."""

    def __call__(self, curve: LearningCurve, num_devices: int) -> float:
        """The speed-up of this configuration, interpolated between sizes measured and constant beyond the last.

        Raises
        ------
        ValueError
            The blackbox has not measured it.
        """
        if curve.speed_up is None:
            raise ValueError('scaling must not be "measured" with this blackbox: it has measured no speed-up')
        return TableScaling(curve.speed_up).speed_up(num_devices)


def make_speed_up(scaling: ScalingLike, num_devices: int) -> SameForAll | MeasuredSpeedUp:
    """The speed-up that a user has asked for, as a function of a learning curve and a number of devices.

    Parameters
    ----------
    scaling
        See :data:`ScalingLike`. A callable is asked once for every size, here, and not kept.
    num_devices
        The largest number of devices of a trial.

    Raises
    ------
    TypeError
        ``scaling`` is none of these, or gives something that is not a number.
    ValueError
        The name is not known, the table lacks 1 device, or a speed-up is not positive and finite.
    """
    if isinstance(scaling, str):
        if scaling == "measured":
            return MeasuredSpeedUp()
        tables = {"none": {1: 1.0}, "linear": {1: 1.0, num_devices: float(num_devices)}, **PUBLISHED_SCALING}
        if scaling not in tables:
            names = ", ".join(map(repr, (*tables, "measured")))
            raise ValueError(f"scaling must be one of {names}, a table or a callable, but got {scaling!r}")
        return SameForAll(tables[scaling], num_devices)
    if scaling is None:
        raise TypeError('scaling must be a name, a table or a callable, but got None; "none" is no speed-up')
    given = make_scaling(scaling, num_devices)
    return SameForAll({size: given.speed_up(size) for size in range(1, num_devices + 1)}, num_devices)
