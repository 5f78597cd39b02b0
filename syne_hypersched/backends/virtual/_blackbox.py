"""A fleet in virtual time for any blackbox: the arguments that the backend and :func:`simulate` share, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from syne_hypersched import checks
from syne_hypersched.backends.virtual._costs import Failures, LaunchCost
from syne_hypersched.backends.virtual._fleet import VirtualFleet
from syne_hypersched.backends.virtual._launcher import VirtualLauncher
from syne_hypersched.backends.virtual._schedule import DeviceSchedule, checked_schedule
from syne_hypersched.backends.virtual._speed import ScalingLike, make_speed_up
from syne_hypersched.blackboxes import LearningCurve, TableBlackbox, learning_curve, with_levels

#: More devices than this are a mistake, and would take all memory.
_MOST_DEVICES = 1_000_000


class CurveOf:
    """Looks learning curves up in a blackbox.

    Parameters
    ----------
    blackbox
        Any blackbox of Syne Tune's, or something that has the same members.
    elapsed_time_attr
        Its objective for the seconds trained so far.
    max_resource_attr
        Entry of a configuration that bounds its resource level, if there is one.
    seed
        Which repetition in the blackbox.
    """

    def __init__(self, blackbox: Any, elapsed_time_attr: str, max_resource_attr: str | None, seed: int) -> None:
        self.blackbox = with_levels(blackbox)
        self._elapsed_time_attr = elapsed_time_attr
        self._max_resource_attr = max_resource_attr
        self._seed = seed

    def __call__(self, config: Mapping[str, Any]) -> LearningCurve:
        """The learning curve of a configuration, whose entries that the blackbox does not know are ignored."""
        if self._max_resource_attr is None and isinstance(self.blackbox, TableBlackbox):
            return self.blackbox.learning_curve(config, None, self._seed)  # as below, which takes longer
        max_resource = None if self._max_resource_attr is None else config.get(self._max_resource_attr)
        return learning_curve(
            self.blackbox,
            config,
            elapsed_time_attr=self._elapsed_time_attr,
            max_resource=max_resource,
            seed=self._seed,
        )


def make_virtual_fleet(
    blackbox: Any,
    elapsed_time_attr: str | None,
    num_devices: int,
    scaling: ScalingLike,
    launch_cost: LaunchCost,
    failures: Failures | None,
    num_devices_per_trial: int,
    max_resource_attr: str | None,
    seed: int,
    devices_over_time: DeviceSchedule | None = None,
) -> VirtualFleet:
    """A fleet whose trials are looked up in a blackbox; see :class:`~syne_hypersched.ElasticSimulatorBackend`.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; the message names it.
    """
    num_devices = checks.positive_integer("num_devices", num_devices)
    checks.integer("num_devices", num_devices, at_most=_MOST_DEVICES, why="the most of a simulation")
    checks.integer("num_devices_per_trial", num_devices_per_trial, 1, num_devices, "the number of devices")
    if not callable(getattr(blackbox, "learning_curve", None)) and not callable(
        getattr(blackbox, "objective_function", None)
    ):
        raise TypeError(f"blackbox must have the members of a blackbox of Syne Tune, but got {blackbox!r}")
    if elapsed_time_attr is None:
        elapsed_time_attr = getattr(blackbox, "elapsed_time_attr", None)
    if not isinstance(elapsed_time_attr, str) or not elapsed_time_attr:
        raise TypeError(
            "elapsed_time_attr must name the objective of the blackbox that is the seconds trained so far, "
            f"but got {elapsed_time_attr!r}"
        )
    if not isinstance(launch_cost, LaunchCost):
        raise TypeError(f"launch_cost must be a LaunchCost, but got {launch_cost!r}")
    if failures is not None and not isinstance(failures, Failures):
        raise TypeError(f"failures must be Failures or None, but got {failures!r}")
    if max_resource_attr is not None:
        checks.text("max_resource_attr", max_resource_attr, "the name of an entry of the configuration, or None")
    return VirtualFleet(
        num_devices,
        CurveOf(blackbox, elapsed_time_attr, max_resource_attr, checks.integer("seed", seed)),
        VirtualLauncher(make_speed_up(scaling, num_devices), launch_cost, failures),
        elapsed_time_attr,
        checked_schedule(devices_over_time, num_devices),
    )
