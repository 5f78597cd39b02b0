"""Paying for what pays: a budget of device-hours beside the deadline, and an end where going on is not worth it.

After SEER and RubberBand (Misra et al., EuroSys 2021), by authors of HyperSched: the time of devices costs money, and
the last part of a search often brings little. Devices cost what they are held, whether they train or are launched.
"""

from __future__ import annotations

import math

SECONDS_PER_HOUR = 3600.0

WINDOW_SHARE = 1 / 3
"""The gain is that of the last third of what was spent."""

WINDOWS = 2
"""Nothing ends before so many windows were spent: the first reports of a search always bring much."""


class Spending:
    """What a search has spent and gained so far, in device-seconds and in the metric.

    Example
    -------
    >>> spending = Spending(budget_device_hours=1.0)
    >>> spending.hold(4, now_s=0.0)
    >>> spending.hold(4, now_s=450.0)
    >>> spending.used_device_hours, spending.budget_ends_s(450.0, num_devices=4)
    (0.5, 900.0)

    Parameters
    ----------
    budget_device_hours
        Device-hours that may be spent; None: any number.
    min_gain
        Least improvement of the metric for a device-hour; None: any.
    """

    def __init__(self, budget_device_hours: float | None = None, min_gain: float | None = None) -> None:
        self.budget_device_hours = budget_device_hours
        self.min_gain = min_gain
        self._used_s = 0.0
        self._since_s: float | None = None
        #: Device-seconds spent at each improvement of the best value, and that value, to be minimised.
        self._improvements: list[tuple[float, float]] = []

    @property
    def is_limited(self) -> bool:
        """Whether there is anything to decide."""
        return self.budget_device_hours is not None or self.min_gain is not None

    @property
    def used_device_hours(self) -> float:
        """Device-hours spent so far."""
        return self._used_s / SECONDS_PER_HOUR

    def hold(self, num_devices: int, now_s: float) -> None:
        """So many devices were held since the last call."""
        if self._since_s is not None:
            self._used_s += num_devices * max(0.0, now_s - self._since_s)
        self._since_s = now_s

    def restart(self) -> None:
        """What has happened so far took no time: the clock has turned out to be a simulated one."""
        self._used_s, self._since_s = 0.0, None

    def improve(self, value: float) -> None:
        """The best value so far, to be minimised, is this one."""
        self._improvements.append((self._used_s, value))

    def budget_ends_s(self, now_s: float, num_devices: int) -> float:
        """When the budget will be spent, if so many devices are held from now on; infinite without one."""
        if self.budget_device_hours is None:
            return math.inf
        left_s = self.budget_device_hours * SECONDS_PER_HOUR - self._used_s
        return now_s + max(0.0, left_s) / max(1, num_devices)

    def gain(self, least_window_s: float) -> float | None:
        """Improvement of the metric for a device-hour that may be expected.

        It is that of the last part of what was spent or, if that is more, the last improvement over what was spent
        since then: good configurations are rare, and the next one may bring as much as the last one.

        Parameters
        ----------
        least_window_s
            Device-seconds of this part at least, such as those of a full run.

        Returns
        -------
        float or None
            At least 0; None as long as too little was spent to tell.
        """
        window_s = max(WINDOW_SHARE * self._used_s, least_window_s)
        if not self._improvements or self._used_s < WINDOWS * window_s or window_s <= 0:
            return None
        before = [value for used_s, value in self._improvements if used_s <= self._used_s - window_s]
        if not before:
            return None
        last_s, best = self._improvements[-1]
        recent = (before[-1] - best) / window_s
        if len(self._improvements) > 1 and self._used_s > last_s:
            recent = max(recent, (self._improvements[-2][1] - best) / (self._used_s - last_s))
        return recent * SECONDS_PER_HOUR

    def no_longer_pays(self, least_window_s: float) -> bool:
        """Whether going on is worth less than the user wants for a device-hour.

        Parameters
        ----------
        least_window_s
            As in :meth:`gain`.
        """
        if self.min_gain is None:
            return False
        gain = self.gain(least_window_s)
        return gain is not None and gain < self.min_gain
