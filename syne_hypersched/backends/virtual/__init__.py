"""Trials in virtual time, looked up in a blackbox instead of trained."""

from syne_hypersched.backends.virtual._blackbox import make_virtual_fleet as make_virtual_fleet
from syne_hypersched.backends.virtual._costs import NO_COST as NO_COST
from syne_hypersched.backends.virtual._costs import Failures as Failures
from syne_hypersched.backends.virtual._costs import LaunchCost as LaunchCost
from syne_hypersched.backends.virtual._fleet import VirtualFleet as VirtualFleet
from syne_hypersched.backends.virtual._schedule import DeviceSchedule as DeviceSchedule
from syne_hypersched.backends.virtual._simulator import ElasticSimulatorBackend as ElasticSimulatorBackend
from syne_hypersched.backends.virtual._speed import ScalingLike as ScalingLike
from syne_hypersched.backends.virtual._trial import virtual_moment as virtual_moment

__all__ = [
    "NO_COST",
    "DeviceSchedule",
    "ElasticSimulatorBackend",
    "Failures",
    "LaunchCost",
    "ScalingLike",
    "VirtualFleet",
    "make_virtual_fleet",
    "virtual_moment",
]
