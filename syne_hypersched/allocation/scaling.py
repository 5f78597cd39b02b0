"""Scaling: the speed-up of a trial as a function of its number of devices.

Every scaling is normalised to a speed-up of 1 on one device. It comes from a table, a callable, or the epoch times that
running trials report.
"""

from __future__ import annotations

import math
import statistics
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Literal, TypeAlias

from syne_hypersched import checks
from syne_hypersched.allocation.window import QuantileWindow

ScalingName: TypeAlias = Literal[
    "resnet18", "resnet50", "resnet101", "resnet152", "shufflenet", "imagenet_resnet50", "babi", "linear", "none"
]
"""Names of scalings: those of :const:`PUBLISHED_SCALING`, ``"linear"`` (``n`` devices are ``n`` times as fast) and
``"none"`` (more devices are not faster)."""

PUBLISHED_SCALING: Mapping[str, Mapping[int, float]] = MappingProxyType(
    {
        name: MappingProxyType(table)
        for name, table in {
            "resnet18": {1: 1.0, 2: 1.854, 4: 3.426, 8: 5.398},
            "resnet50": {1: 1.0, 2: 1.870, 4: 3.421, 8: 5.598},
            "resnet101": {1: 1.0, 2: 1.892, 4: 3.632, 8: 6.672},
            "resnet152": {1: 1.0, 2: 1.796, 4: 3.448, 8: 6.541},
            "shufflenet": {1: 1.0, 2: 1.920, 4: 3.605, 8: 6.084},
            "imagenet_resnet50": {1: 1.0, 2: 1.77, 4: 2.93, 8: 4.29},
            "babi": {1: 1.0, 2: 1.62, 4: 2.027, 8: 2.75, 16: 2.48, 32: 2.48},
        }.items()
    }
)
"""Scaling tables measured by Liaw et al. (HyperSched, 2019) on V100 GPUs with weak scaling: the global batch is 128
times the number of devices. The first five are CIFAR-10 models; ``"babi"`` becomes slower beyond 8 devices."""

PRIOR_SERIAL_SHARE = 0.0613
"""Serial share ``a`` of the prior ``s(n) = n / (1 + a (n - 1))`` of :class:`LearntScaling`. It is the median of the
shares that the tables of :const:`PUBLISHED_SCALING` imply at 8 devices."""

_PRIOR_TRIALS = 1.0
"""Weight of the prior in :class:`LearntScaling`, as a number of measured trials."""

_EPOCHS_PER_SIZE = 32
"""Number of epoch times that :class:`LearntScaling` keeps for one trial and one number of devices."""


class Scaling(ABC):
    """Speed-up of a trial as a function of its number of devices, 1 on one device.

    Example
    -------
    >>> TableScaling({1: 1, 2: 1.9, 4: 1.5}).usable_sizes(4)
    (1, 2)
    """

    @abstractmethod
    def speed_up(self, num_devices: int) -> float:
        """How many times faster a trial trains on ``num_devices`` than on one device; a positive finite number."""

    def usable_sizes(self, num_devices: int, allocation_grid: int | None = None) -> tuple[int, ...]:
        """The numbers of devices that are worth holding.

        A size is usable if a trial is faster on it than on every smaller usable size, and if it lies on the grid. So no
        trial gets a number of devices that slows it down.

        Parameters
        ----------
        num_devices
            The largest size to consider, at least 1.
        allocation_grid
            The grid Z of HyperSched: sizes above Z are multiples of Z. None: every size is allowed.

        Returns
        -------
        tuple
            The usable sizes in ascending order; the first is 1.

        Raises
        ------
        ValueError
            ``num_devices`` or ``allocation_grid`` is below 1.
        """
        if num_devices < 1:
            raise ValueError(f"num_devices must be at least 1, but got {num_devices!r}")
        if allocation_grid is not None and allocation_grid < 1:
            raise ValueError(f"allocation_grid must be at least 1, but got {allocation_grid!r}")
        sizes = self._usable_sizes.get((num_devices, allocation_grid))
        if sizes is None:
            sizes = self._usable_sizes[num_devices, allocation_grid] = self._find_usable(num_devices, allocation_grid)
        return sizes

    @cached_property
    def _usable_sizes(self) -> dict[tuple[int, int | None], tuple[int, ...]]:
        """Cached results of :meth:`usable_sizes`, until speed-ups change."""
        return {}

    def _find_usable(self, num_devices: int, allocation_grid: int | None) -> tuple[int, ...]:
        sizes, fastest = [1], self.speed_up(1)
        for size in range(2, num_devices + 1):
            if allocation_grid is not None and size > allocation_grid and size % allocation_grid:
                continue
            speed_up = self.speed_up(size)
            if speed_up > fastest:
                sizes.append(size)
                fastest = speed_up
        return tuple(sizes)


class LinearScaling(Scaling):
    """``n`` devices are ``n`` times as fast: the ablation arm ``assume_linear`` of HyperSched.

    Example
    -------
    >>> LinearScaling().speed_up(4)
    4.0
    """

    def speed_up(self, num_devices: int) -> float:
        """``num_devices`` itself."""
        return float(num_devices)


class TableScaling(Scaling):
    """Scaling from measurements at some numbers of devices.

    Example
    -------
    >>> scaling = TableScaling({1: 10, 2: 19, 4: 34})
    >>> [scaling.speed_up(size) for size in (1, 2, 3, 8)]
    [1.0, 1.9, 2.65, 3.4]

    Between two entries the speed-up is interpolated linearly. Beyond the last entry it is constant, so no speed-up is
    invented. The table may fall: :meth:`usable_sizes` then leaves out the slower sizes.

    Parameters
    ----------
    table
        Speed (in any unit) by number of devices, for example ``{1: 1, 2: 1.87, 4: 3.42}``. It is divided by the speed
        on one device.

    Raises
    ------
    TypeError
        ``table`` is not a mapping from integers to numbers.
    ValueError
        One device is missing, a number of devices is below 1, or a speed is not positive and finite.
    """

    def __init__(self, table: Mapping[int, float]) -> None:
        if not isinstance(table, Mapping):
            raise TypeError(f"scaling must be a mapping from devices to speed-up, but got {table!r}")
        for size, speed in table.items():
            checks.integer("scaling's number of devices", size, at_least=1)
            _check_speed(size, speed)
        if 1 not in table:
            raise ValueError(f"scaling must have an entry for 1 device, but got entries for {sorted(table)!r}")
        self._sizes = sorted(int(size) for size in table)
        self._speed_ups = [float(table[size]) / float(table[1]) for size in self._sizes]

    def speed_up(self, num_devices: int) -> float:
        """The speed-up, interpolated linearly between entries and constant beyond the last entry."""
        above = bisect_right(self._sizes, num_devices)
        if above == len(self._sizes):
            return self._speed_ups[-1]
        low, high = self._sizes[above - 1], self._sizes[above]
        share = (num_devices - low) / (high - low)
        return self._speed_ups[above - 1] * (1 - share) + self._speed_ups[above] * share


class LearntScaling(Scaling):
    """Scaling learnt from the epoch times that trials report.

    Example
    -------
    >>> scaling = LearntScaling()
    >>> for num_devices, epoch_time_s in ((1, 10.0), (2, 8.0)):
    ...     scaling.observe(trial_id=0, num_devices=num_devices, epoch_time_s=epoch_time_s)
    >>> round(scaling.speed_up(2), 2)  # between the prior, 1.88, and the measurement, 1.25
    1.53

    For every trial seen both on one device and on ``n``, the ratio of its median epoch times is one measurement of
    ``s(n)``. So a slow configuration is compared only with itself. The estimate is the median over trials. In the
    logarithm, it is pulled towards a prior that counts as one trial: one lucky measurement moves it half of the way.
    Sizes without a measurement follow the measured ones, through the power of ``n`` by which these differ from the
    prior: poor scaling from one to two devices is expected to continue.

    The prior is neither optimistic (linear scaling grows trials that gain nothing) nor pessimistic (constant scaling
    never grows a trial, and so never learns). It is ``n / (1 + a (n - 1))`` with the median serial share ``a`` of the
    published tables.

    Devices of two nodes scale differently from those of one node, so measurements on different numbers of nodes are
    separate. A launch is placed on as few nodes as possible, so for each size the fewest nodes on which it was seen
    count.
    """

    def __init__(self) -> None:
        #: Epoch times of each running trial, by number of devices and of nodes.
        self._epoch_times: dict[int, dict[tuple[int, int], QuantileWindow]] = {}
        #: Logarithm of the speed-up of each measured trial, by number of nodes and of devices.
        self._log_ratios: dict[int, dict[int, dict[int, float]]] = {}
        #: Fewest nodes on which each number of devices was seen.
        self._fewest_nodes: dict[int, int] = {}
        self._deviations: dict[int, list[tuple[int, float]]] = {}

    @property
    def is_measured(self) -> bool:
        """Whether any trial has been seen both on one device and on more."""
        return bool(self._log_ratios)

    def observe(self, trial_id: int, num_devices: int, epoch_time_s: float, num_nodes: int = 1) -> None:
        """Notes the seconds that one epoch of a trial took on ``num_devices`` devices of ``num_nodes`` nodes.

        Raises
        ------
        ValueError
            ``num_devices`` is below 1, ``num_nodes`` is not from 1 to ``num_devices``, or ``epoch_time_s`` is not
            positive and finite.
        """
        if num_devices < 1:
            raise ValueError(f"num_devices must be at least 1, but got {num_devices!r}")
        if not 1 <= num_nodes <= num_devices:
            raise ValueError(f"num_nodes must be from 1 to {num_devices}, the devices, but got {num_nodes!r}")
        if not 0 < epoch_time_s < math.inf:
            raise ValueError(f"epoch_time_s must be positive and finite, but got {epoch_time_s!r}")
        windows, seen = self._epoch_times.setdefault(trial_id, {}), (num_devices, num_nodes)
        windows.setdefault(seen, QuantileWindow(_EPOCHS_PER_SIZE)).add(epoch_time_s)
        if num_nodes < self._fewest_nodes.get(num_devices, math.inf):
            self._fewest_nodes[num_devices] = num_nodes
            self._usable_sizes.clear()
        if (1, 1) not in windows or len(windows) < 2:
            return
        for size, nodes in windows if num_devices == 1 else (seen,):
            if size > 1:
                ratio = windows[1, 1].median / windows[size, nodes].median
                self._log_ratios.setdefault(nodes, {}).setdefault(size, {})[trial_id] = math.log(ratio)
        self._deviations.clear()
        self._usable_sizes.clear()

    def forget(self, trial_id: int) -> None:
        """Removes the epoch times of a trial that no longer runs. Its measurements of the scaling stay."""
        self._epoch_times.pop(trial_id, None)

    def epoch_time_s(self, trial_id: int, num_devices: int, num_nodes: int | None = None) -> float | None:
        """Median epoch time of a trial on ``num_devices``, converted from the nearest known size if necessary.

        Parameters
        ----------
        trial_id, num_devices
            The trial, and the number of devices.
        num_nodes
            Number of nodes; by default the number that such a launch is expected to have.

        Returns
        -------
        float or None
            Seconds; None if the trial has reported no epoch time.
        """
        windows = self._epoch_times.get(trial_id)
        if not windows:
            return None
        nodes = self._nodes(num_devices) if num_nodes is None else num_nodes
        nearest = min(windows, key=lambda seen: (abs(math.log(seen[0] / num_devices)), seen[0], abs(seen[1] - nodes)))
        return windows[nearest].median * self._speed_up(*nearest) / self._speed_up(num_devices, nodes)

    def speed_up(self, num_devices: int) -> float:
        """The estimate for ``num_devices``, on the fewest nodes on which such a launch was seen."""
        return self._speed_up(num_devices, self._nodes(num_devices))

    def _speed_up(self, num_devices: int, num_nodes: int) -> float:
        if num_devices == 1:
            return 1.0
        return _prior(num_devices) * math.exp(self._deviation(num_devices, num_nodes))

    def _nodes(self, num_devices: int) -> int:
        """Number of nodes that a launch is expected to have: at least as many as a smaller launch."""
        known = self._fewest_nodes.get(num_devices)
        if known is not None:
            return known
        return max((nodes for size, nodes in self._fewest_nodes.items() if size < num_devices), default=1)

    def _deviation(self, num_devices: int, num_nodes: int) -> float:
        """Logarithm of the ratio of estimate and prior, piecewise linear in ``log n``."""
        if num_nodes not in self._log_ratios:
            num_nodes = min(self._log_ratios, key=lambda nodes: abs(nodes - num_nodes), default=1)
        deviations = self._deviations.get(num_nodes)
        if deviations is None:
            deviations = self._deviations[num_nodes] = [(1, 0.0)]
            for size, measured in sorted(self._log_ratios.get(num_nodes, {}).items()):
                ratios = measured.values()
                weight = len(ratios) / (len(ratios) + _PRIOR_TRIALS)
                deviations.append((size, weight * (statistics.median(ratios) - math.log(_prior(size)))))
        above = bisect_right(deviations, num_devices, key=lambda entry: entry[0])
        low_size, low = deviations[above - 1]
        if above == len(deviations):
            return low * math.log(num_devices) / math.log(low_size) if low_size > 1 else 0.0
        high_size, high = deviations[above]
        share = math.log(num_devices / low_size) / math.log(high_size / low_size)
        return low * (1 - share) + high * share


def make_scaling(
    scaling: ScalingName | Mapping[int, float] | Callable[[int], float] | None,
    num_devices: int,
    learnt: LearntScaling | None = None,
) -> Scaling:
    """The scaling that a user has requested.

    Parameters
    ----------
    scaling
        A name of :data:`ScalingName`, a table of speed-ups by number of devices, a callable from a number of devices to
        its speed-up, or None to learn it. A callable is called here once for every size, and is not kept.
    num_devices
        The largest number of devices of a trial.
    learnt
        The object to return if the scaling is learnt; by default a new one.

    Raises
    ------
    TypeError
        ``scaling`` is none of these, or gives something that is not a number; or ``learnt`` is not a
        :class:`LearntScaling`.
    ValueError
        The name is unknown, a speed-up is not positive and finite, or the table lacks 1 device.
    """
    if learnt is not None and not isinstance(learnt, LearntScaling):
        # In earlier versions, the third argument was assume_linear.
        raise TypeError(f'learnt must be a LearntScaling or None (scaling="linear" is linear), but got {learnt!r}')
    if scaling is None:
        return LearntScaling() if learnt is None else learnt
    if isinstance(scaling, str):
        return named_scaling(scaling)
    if isinstance(scaling, Mapping):
        return TableScaling(scaling)
    if callable(scaling):
        return TableScaling({size: _check_speed(size, scaling(size)) for size in range(1, num_devices + 1)})
    raise TypeError(
        f"scaling must be a name, a mapping from devices to speed-up, a callable or None, but got {scaling!r}"
    )


def named_scaling(name: str) -> Scaling:
    """The scaling with a name of :data:`ScalingName`.

    Raises
    ------
    ValueError
        The name is unknown; the message lists the names.
    """
    if name == "linear":
        return LinearScaling()
    tables = {**PUBLISHED_SCALING, "none": {1: 1.0}}
    if name not in tables:
        names = ", ".join(map(repr, (*PUBLISHED_SCALING, "linear", "none")))
        raise ValueError(f"scaling must be one of {names}, a table, a callable or None, but got {name!r}")
    return TableScaling(tables[name])


def check_scaling(scaling: object) -> None:
    """Checks a scaling that is created later, when the number of devices is known; see :func:`make_scaling`."""
    if not callable(scaling):
        make_scaling(scaling, 1)  # type: ignore[arg-type]


def _check_speed(num_devices: int, speed: object) -> float:
    rule = f"a positive finite number for {num_devices!r} {'device' if num_devices == 1 else 'devices'}"
    return checks.number("scaling", speed, rule, above=0.0)


def _prior(num_devices: int) -> float:
    return num_devices / (1 + PRIOR_SERIAL_SHARE * (num_devices - 1))
