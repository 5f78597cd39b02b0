"""Applies the policies and the resize rule of HyperSched to the live trials: how many devices each trial holds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syne_hypersched.allocation.goodput import Outlook, Rates, allocate_goodput
from syne_hypersched.allocation.policies import GOODPUT, allocate, check_policy, rank
from syne_hypersched.allocation.resize import resized
from syne_hypersched.allocation.scaling import LinearScaling, Scaling

if TYPE_CHECKING:
    from numpy.random import RandomState


@dataclass
class _Live:
    num_devices: int = 1
    value: float | None = None
    resource: float = 0.0
    reports_since_resize: int = 0
    most: int | None = None


class Allocator:
    """Keeps the number of devices of every live trial. Together, trials never hold more than there are.

    Example
    -------
    >>> from numpy.random import RandomState
    >>> allocator = Allocator(4, "top_job", LinearScaling(), None, recharge_period=0, random_state=RandomState(0))
    >>> for trial_id, value in ((0, 0.5), (1, 0.2)):
    ...     allocator.begin(trial_id)
    ...     allocator.report(trial_id, value)
    >>> allocator.resize(1, time_left_s=600.0, launch_cost_s=5.0)
    3

    Parameters
    ----------
    num_devices
        Total number of devices.
    policy
        One of :const:`~syne_hypersched.allocation.policies.POLICIES`, or ``goodput``.
    scaling
        Speed-up of a trial by number of devices; ``goodput`` uses the speed-up of each trial from ``rates``.
    allocation_grid
        Sizes above this are multiples of it; None: every size is allowed.
    recharge_period
        A trial can grow only if it has made more reports than this since it was last started, resumed or resized.
    random_state
        Generator that the policy ``random`` draws from.
    rates
        For ``goodput``: returns the resource per second of a trial on 1 to ``num_devices`` devices, or None.
    max_t
        For ``goodput``: the resource at which a trial ends.

    Raises
    ------
    ValueError
        The policy is unknown, or ``rates`` are missing for ``goodput``, or are given for another policy.
    """

    def __init__(
        self,
        num_devices: int,
        policy: str,
        scaling: Scaling,
        allocation_grid: int | None,
        recharge_period: int,
        random_state: RandomState,
        rates: Callable[[int], Rates | None] | None = None,
        max_t: float = math.inf,
    ) -> None:
        check_policy(policy)
        if (policy == GOODPUT) != (rates is not None):
            raise ValueError(f"rates must be given with policy {GOODPUT!r} and no other, but got {rates!r}")
        #: Number of all devices, and of those that are present now.
        self._num_nominal = self._num_devices = num_devices
        self._policy = policy
        self._scaling = scaling
        self._allocation_grid = allocation_grid
        self._recharge_period = recharge_period
        self._random_state = random_state
        self._rates = rates
        self._max_t = max_t
        self._live: dict[int, _Live] = {}
        self._random_draw: tuple[tuple[int, ...], dict[int, int]] | None = None

    def __contains__(self, trial_id: object) -> bool:
        """Whether the trial is live."""
        return trial_id in self._live

    def __len__(self) -> int:
        """Number of live trials."""
        return len(self._live)

    @property
    def num_devices(self) -> int:
        """Total number of devices if all are present."""
        return self._num_nominal

    @property
    def allocation(self) -> dict[int, int]:
        """Number of devices that each live trial holds or has been asked to continue on."""
        return {trial_id: live.num_devices for trial_id, live in self._live.items()}

    @property
    def num_free(self) -> int:
        """Number of devices that no live trial holds, if all are present."""
        return self._num_nominal - sum(live.num_devices for live in self._live.values())

    def set_present(self, num_devices: int) -> None:
        """Sets the number of present devices, at most the constructor's. Trials may hold more until they shrink."""
        if num_devices != self._num_devices:
            self._num_devices, self._random_draw = num_devices, None

    def held(self, trial_id: int) -> int:
        """Number of devices of a live trial."""
        return self._live[trial_id].num_devices

    def rank(self, trial_id: int) -> int:
        """Rank of a live trial by its last value; 1 is the best."""
        return rank({live_id: live.value for live_id, live in self._live.items()}).index(trial_id) + 1

    def begin(self, trial_id: int) -> None:
        """Notes that a trial is started or resumed, on one device.

        Raises
        ------
        ValueError
            No device is free.
        """
        if self.num_free < 1:
            raise ValueError(
                f"num_devices must be at least the tuner's n_workers, but trial {trial_id} is to run beside "
                f"{self.allocation} (devices by trial) and num_devices is {self._num_nominal}"
            )
        self._live[trial_id] = _Live()

    def end(self, trial_id: int) -> None:
        """Notes that a trial has ended or is paused. Does nothing if it is not live."""
        self._live.pop(trial_id, None)

    def report(self, trial_id: int, value: float, resource: float = 0.0) -> None:
        """Notes a report of a live trial: metric (to be minimised) and resource level."""
        live = self._live[trial_id]
        live.value = value
        live.resource = resource
        live.reports_since_resize += 1

    def take_back(self) -> None:
        """Reduces every live trial to one device."""
        for live in self._live.values():
            live.num_devices, live.reports_since_resize = 1, 0

    def limit(self, trial_id: int, num_devices: int, most: int) -> None:
        """Limits a live trial that failed on more devices than ``most``. It continues on ``num_devices``.

        The other trials keep their devices. Devices that this trial cannot use may stay idle.
        """
        live = self._live[trial_id]
        live.most = most
        if live.num_devices > most:
            live.num_devices = num_devices
            live.reports_since_resize = 0

    def resize(self, trial_id: int, time_left_s: float, launch_cost_s: float) -> int | None:
        """Applies the policy and the resize rule to a live trial that has just reported.

        Returns
        -------
        int or None
            The number of devices on which it should continue; None: no change.
        """
        live = self._live[trial_id]
        wanted = self._wanted(trial_id, time_left_s, launch_cost_s)
        if live.most is not None and wanted > live.most:
            wanted = max(self._scaling.usable_sizes(live.most, self._allocation_grid))
        num_devices = resized(
            live.num_devices,
            wanted,
            num_free=self.num_free - (self._num_nominal - self._num_devices),
            reports_since_resize=live.reports_since_resize,
            recharge_period=self._recharge_period,
            speed_up=self.speed_up(trial_id),
            time_left_s=time_left_s,
            launch_cost_s=launch_cost_s,
        )
        if num_devices == live.num_devices:
            return None
        live.num_devices = num_devices
        live.reports_since_resize = 0
        return num_devices

    def speed_up(self, trial_id: int) -> Callable[[int], float]:
        """Speed of the trial by number of devices, in an arbitrary unit."""
        rates = None if self._rates is None else self._rates(trial_id)
        if rates is None:
            return self._scaling.speed_up
        return lambda num_devices: float(rates[num_devices - 1])

    def _wanted(self, trial_id: int, time_left_s: float, launch_cost_s: float) -> int:
        """Number of devices that the policy gives the trial."""
        live_ids = tuple(sorted(self._live))
        if len(live_ids) > self._num_devices:
            return 1  # some devices are absent, and some trials wait
        if self._policy == "random" and self._random_draw is not None and self._random_draw[0] == live_ids:
            # If the allocation were drawn at every report, every report would relaunch a trial.
            return self._random_draw[1][trial_id]
        values = {live_id: self._live[live_id].value for live_id in live_ids}
        if self._rates is not None:
            return allocate_goodput(
                values,
                self._outlooks(self._rates),
                self._num_devices,
                LinearScaling().usable_sizes(self._num_devices, self._allocation_grid),
                self._max_t,
                time_left_s,
                launch_cost_s,
            )[trial_id]
        sizes = self._scaling.usable_sizes(self._num_devices, self._allocation_grid)
        devices = allocate(self._policy, values, self._num_devices, sizes, self._random_state)
        self._random_draw = (live_ids, devices)
        return devices[trial_id]

    def _outlooks(self, rates_of: Callable[[int], Rates | None]) -> dict[int, Outlook]:
        """The known facts about each live trial that has reported and whose rates are known."""
        outlooks = {}
        for trial_id, live in self._live.items():
            rates = rates_of(trial_id)
            if rates is not None and live.value is not None:
                outlooks[trial_id] = Outlook(live.num_devices, live.resource, rates)
        return outlooks
