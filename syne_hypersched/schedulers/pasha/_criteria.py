"""The ranking criteria of PASHA, which say whether the ranking of trials has changed (Bohdal et al., ICLR 2023).

All of them look at the trials of the higher of two rungs, sorted once by their values there and once by their values in
the rung below. Trials with equal values keep the order in which they were recorded in the higher rung. Values are to be
minimised; ``+inf`` is the worst.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from syne_hypersched import checks
from syne_hypersched.schedulers.pasha._distances import Distances

Floats: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.intp]

ROUNDING = 1e-12
"""A distance that exceeds a positive epsilon by less than this share of the values does so by rounding only."""


CriterionName: TypeAlias = Literal[
    "soft_ranking_auto", "soft_ranking", "soft_ranking_std", "soft_ranking_mean_dst", "soft_ranking_median_dst",
    "direct", "rbo", "rrr", "arrr",
]  # fmt: skip
"""Names of the ranking criteria."""


class TwoOrders:
    """The trials of a rung, sorted there and in the rung below; a trial is its index in the order of recording."""

    def __init__(self) -> None:
        self.top_order: Indices = np.empty(0, dtype=np.intp)
        """Trials sorted by their values in the higher rung, shape ``(k,)``."""
        self.lower_order: Indices = np.empty(0, dtype=np.intp)
        """Trials sorted by their values in the lower rung, shape ``(k,)``."""
        self.top_sorted: Floats = np.empty(0)
        """The values in the higher rung, ascending, shape ``(k,)``."""
        self.lower_sorted: Floats = np.empty(0)
        """The values in the lower rung, ascending, shape ``(k,)``."""

    def __len__(self) -> int:
        """Number of trials."""
        return len(self.top_order)

    def record(self, lower: float, top: float) -> None:
        """Sorts in a trial with its values in the lower and in the higher rung."""
        index = len(self)
        position = self.top_sorted.searchsorted(top, side="right")
        self.top_order = np.insert(self.top_order, position, index)
        self.top_sorted = np.insert(self.top_sorted, position, top)
        position = self.lower_sorted.searchsorted(lower, side="right")
        self.lower_order = np.insert(self.lower_order, position, index)
        self.lower_sorted = np.insert(self.lower_sorted, position, lower)

    def lower_in_top_order(self) -> Floats:
        """The values in the lower rung of the trials sorted by the higher one, shape ``(k,)``."""
        values = np.empty(len(self))
        values[self.lower_order] = self.lower_sorted
        return values[self.top_order]

    def top_in_lower_order(self) -> Floats:
        """The values in the higher rung of the trials sorted by the lower one, shape ``(k,)``."""
        values = np.empty(len(self))
        values[self.top_order] = self.top_sorted
        return values[self.lower_order]


class RankingCriterion(ABC):
    """Says whether the ranking has changed between two rungs."""

    def __init__(self) -> None:
        self.orders = TwoOrders()
        self.epsilon: float | None = None
        """Distance in the lower rung up to which trials count as equal; None if the criterion has none."""

    def record(self, lower: float, top: float) -> None:
        """Takes in a trial that has reached the higher rung.

        Parameters
        ----------
        lower
            Its value in the lower rung.
        top
            Its value in the higher rung.
        """
        self.orders.record(lower, top)

    @abstractmethod
    def changed(self) -> bool:
        """Whether the ranking has changed, so that the cap is to move."""


class DirectRanking(RankingCriterion):
    """The ranking has changed when the two orders differ anywhere."""

    def changed(self) -> bool:
        """Whether some position is held by different trials."""
        return bool((self.orders.top_order != self.orders.lower_order).any())


class SoftRanking(RankingCriterion):
    """Trials whose values in the lower rung are within epsilon are equals, and may change places.

    Group ``i`` is every trial whose value in the lower rung is within epsilon of the ``i``-th there; equality counts,
    and rounding cannot refuse it. The ranking has changed when, for some ``i``, the ``i``-th trial of the higher rung
    is not in group ``i``.

    Parameters
    ----------
    epsilon
        The distance, in units of the metric, not negative.
    """

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon: float = epsilon
        self._displacement: tuple[float, float] | None = None

    def record(self, lower: float, top: float) -> None:
        """Takes in a trial that has reached the higher rung; see :meth:`RankingCriterion.record`."""
        super().record(lower, top)
        self._displacement = None

    def changed(self) -> bool:
        """Whether some trial has left its group."""
        if self._displacement is None:
            self._displacement = self._max_displacement()
        exact, up_to_rounding = self._displacement
        return up_to_rounding > self.epsilon if self.epsilon > 0 else exact > 0

    def _max_displacement(self) -> tuple[float, float]:
        """The greatest distance of a trial from the value that the lower rung has at its position."""
        there, own = self.orders.lower_sorted, self.orders.lower_in_top_order()
        moved = there != own
        if not moved.any():
            return 0.0, 0.0
        there, own = there[moved], own[moved]
        with np.errstate(over="ignore"):
            distances = np.abs(there - own)
        finite = np.isfinite(distances)
        if not finite.all():
            return math.inf, math.inf
        rounding = ROUNDING * np.maximum(np.abs(there), np.abs(own))
        return float(distances.max()), float((distances - rounding).max())


class SoftRankingStd(SoftRanking):
    """Soft ranking with ``epsilon = scale`` × population standard deviation of the lower rung's finite values.

    Parameters
    ----------
    scale
        The factor, positive. The paper reports 2.
    """

    def __init__(self, scale: float = 2.0) -> None:
        super().__init__(0.0)
        self._scale = scale

    def record(self, lower: float, top: float) -> None:
        """Takes in a trial that has reached the higher rung; see :meth:`RankingCriterion.record`."""
        super().record(lower, top)
        values = _finite(self.orders.lower_sorted)
        if len(values) >= 2:
            with np.errstate(over="ignore"):
                self.epsilon = self._scale * float(values.std())


class SoftRankingMeanDistance(SoftRanking):
    """Soft ranking with ``epsilon = scale`` × mean of |difference| over all pairs of the lower rung's finite values.

    Parameters
    ----------
    scale
        The factor, positive. The paper reports 1.
    """

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__(0.0)
        self._scale = scale

    def record(self, lower: float, top: float) -> None:
        """Takes in a trial that has reached the higher rung; see :meth:`RankingCriterion.record`."""
        super().record(lower, top)
        values = _finite(self.orders.lower_sorted)
        n = len(values)
        if n >= 2:
            # The gap between neighbours i and i + 1 is part of the distances of (i + 1)(n - 1 - i) pairs.
            index = np.arange(1, n)
            with np.errstate(over="ignore"):
                self.epsilon = self._scale * float(np.diff(values) @ (index * (n - index))) / (n * (n - 1) / 2)


class SoftRankingMedianDistance(SoftRanking):
    """Soft ranking with ``epsilon = scale`` × median of |difference| over all pairs of the lower rung's finite values.

    Parameters
    ----------
    scale
        The factor, positive. The paper reports 1.
    """

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__(0.0)
        self._scale = scale
        self._distances = Distances()

    def record(self, lower: float, top: float) -> None:
        """Takes in a trial that has reached the higher rung; see :meth:`RankingCriterion.record`."""
        if math.isfinite(lower):
            with np.errstate(over="ignore"):
                self._distances.update(np.abs(_finite(self.orders.lower_sorted) - lower), np.empty(0))
        super().record(lower, top)
        if len(self._distances):
            self.epsilon = self._scale * self._distances.quantile(0.5)


class RankBiasedOverlap(RankingCriterion):
    """The ranking has changed when the rank-biased overlap (RBO) of the two orders is below a threshold.

    The overlap is ``(1 - p)`` times the sum over depths ``d = 1..k`` of ``p^(d - 1)`` times the share of trials that
    the two orders have in common among their first ``d``; with ``p = 1`` it is the mean of these shares. The sum ends
    with the ``k`` trials there are, as in the authors' experiments: equal orders have an overlap of ``1 - p^k``, so
    that with ``threshold > 1 - p`` the first trial alone moves the cap.

    Parameters
    ----------
    p
        Persistence, above 0 and at most 1: the smaller, the more the best trials matter.
    threshold
        From 0 to 1.
    """

    def __init__(self, p: float = 0.5, threshold: float = 0.5) -> None:
        super().__init__()
        self._p = p
        self._threshold = threshold

    def changed(self) -> bool:
        """Whether the overlap is below the threshold."""
        return len(self.orders) > 0 and self.overlap() < self._threshold

    def overlap(self) -> float:
        """The rank-biased overlap of the two orders, of which there is at least one trial."""
        k = len(self.orders)
        depth_in_both = np.empty((2, k), dtype=np.intp)
        depth_in_both[0, self.orders.top_order] = depth_in_both[1, self.orders.lower_order] = np.arange(k)
        shares = np.bincount(depth_in_both.max(axis=0), minlength=k).cumsum() / np.arange(1, k + 1)
        if self._p == 1:
            return float(shares.mean())
        return float(math.fsum((1 - self._p) * self._p ** np.arange(k) * shares))


class ReciprocalRankRegret(RankingCriterion):
    """The ranking has changed when trusting the order of the lower rung is regretted too much (RRR, ARRR).

    The regret at position ``i`` is by how much the value in the higher rung of the trial that the lower rung puts there
    falls short of the higher rung's own ``i``-th value, relative to the size of the latter. The regrets are averaged
    with weights ``p^i``. Deviation: relative to the *absolute* value, without which negated metrics would be treated
    otherwise.

    Parameters
    ----------
    p
        Above 0 and at most 1: the smaller, the more the best trials matter.
    threshold
        The average above which the ranking has changed, not negative.
    absolute
        Whether a trial that is better than the one in whose place it stands is regretted as well (ARRR).
    """

    def __init__(self, p: float = 0.5, threshold: float = 0.05, absolute: bool = False) -> None:
        super().__init__()
        self._p = p
        self._threshold = threshold
        self._absolute = absolute

    def changed(self) -> bool:
        """Whether the regret is above the threshold; a regret that is infinite both ways is."""
        return len(self.orders) > 0 and not self.regret() <= self._threshold

    def regret(self) -> float:
        """The average regret, of which there is at least one trial."""
        own, put = self.orders.top_sorted, self.orders.top_in_lower_order()
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            regrets = np.where(put == own, 0.0, (put - own) / np.abs(own))
        # In place of a diverged trial, whose value is infinite, every other trial falls short by minus the whole.
        regrets[np.isinf(own) & (put != own)] = -1.0
        if self._absolute:
            regrets = np.abs(regrets)
        if np.isinf(regrets).any():
            with np.errstate(invalid="ignore"):
                return float(regrets[np.isinf(regrets)].sum())
        weights = float(self._p) ** np.arange(len(own))
        return math.fsum(weights * regrets) / math.fsum(weights)


_CRITERIA: dict[str, Callable[..., RankingCriterion]] = {
    "soft_ranking": SoftRanking,
    "soft_ranking_std": SoftRankingStd,
    "soft_ranking_mean_dst": SoftRankingMeanDistance,
    "soft_ranking_median_dst": SoftRankingMedianDistance,
    "direct": DirectRanking,
    "rbo": RankBiasedOverlap,
    "rrr": ReciprocalRankRegret,
    "arrr": partial(ReciprocalRankRegret, absolute=True),
}

_RULES: dict[str, tuple[str, dict[str, float]]] = {
    "epsilon": ("a number that is not negative", {"at_least": 0}),
    "scale": ("a positive number", {"above": 0}),
    "p": ("a number greater than 0 and at most 1", {"above": 0, "at_most": 1}),
    "threshold": ("a number that is not negative", {"at_least": 0}),
}


def criterion_factory(name: str, kwargs: Mapping[str, Any]) -> Callable[[], RankingCriterion]:
    """What makes the ranking criterion for each pair of rungs.

    Parameters
    ----------
    name
        ``"soft_ranking_auto"`` (a :class:`SoftRanking` whose epsilon the caller sets), ``"soft_ranking"``,
        ``"soft_ranking_std"``, ``"soft_ranking_mean_dst"``, ``"soft_ranking_median_dst"``, ``"direct"``, ``"rbo"``,
        ``"rrr"`` or ``"arrr"``.
    kwargs
        Parameters of the criterion.

    Returns
    -------
    Callable
        Makes a new criterion at each call.

    Raises
    ------
    TypeError
        A parameter is not a number.
    ValueError
        The name is unknown, a parameter is unknown, missing or out of range.
    """
    if checks.is_one_of(name, ("soft_ranking_auto",)):
        make: Callable[..., RankingCriterion] = partial(SoftRanking, epsilon=0.0)
        known: tuple[str, ...] = ()
    elif checks.is_one_of(name, tuple(_CRITERIA)):
        make = _CRITERIA[name]
        known = tuple(key for key in inspect.signature(make).parameters if key in _RULES)
    else:
        valid = ", ".join(map(repr, get_args(CriterionName)))
        raise ValueError(f"ranking_criterion must be one of {valid}, but got {name!r}")
    for key, number in kwargs.items():
        if key not in known:
            raise ValueError(f"ranking_kwargs of {name!r} may have {', '.join(known) or 'no entry'}, but got {key!r}")
        rule, bounds = _RULES[key]
        checks.number(f"ranking_kwargs[{key!r}]", number, rule, **bounds)
    if name == "soft_ranking" and "epsilon" not in kwargs:
        raise ValueError("ranking_kwargs of 'soft_ranking' must have 'epsilon', in units of the metric, but has not")
    return partial(make, **dict(kwargs))


def _finite(values: Floats) -> Floats:
    """The finite ones of ascending values, of which only the last can be infinite."""
    return values[: values.searchsorted(math.inf)]
