"""Allocation policies of HyperSched: how many devices each trial holds once no new trial may start.

Every live trial holds one device. The other devices are given away in steps from one usable size to the next one, by
one of the policies of Liaw et al. (HyperSched, 2019): ``uniform`` round robin, best first; ``top_job`` to the best
trial; ``softmax`` in proportion to the exponential of the metric; ``random``; ``none``.

Differences from the authors' code: a trial without a report ranks worst (there: best), every policy ends for every
input, and the allocation grid also holds while trials grow. A step that no longer fits goes to the next trial in the
policy's order, and is not dropped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from syne_hypersched import checks

if TYPE_CHECKING:
    from numpy.random import RandomState

Policy: TypeAlias = Literal["uniform", "top_job", "softmax", "random", "none", "goodput"]
"""Names of all policies."""

POLICIES = ("uniform", "top_job", "softmax", "random", "none")
"""Names of the policies that use only the metric."""

GOODPUT: Final = "goodput"
"""Name of the policy of :mod:`~syne_hypersched.allocation.goodput`, which also uses the throughput of each trial."""


def rank(values: Mapping[int, float | None]) -> list[int]:
    """The trials, best first: sorted by value, those without a value last, ties by trial id."""
    return sorted(values, key=lambda trial_id: (_known(values[trial_id]), trial_id))


def allocate(
    policy: str,
    values: Mapping[int, float | None],
    num_devices: int,
    sizes: Sequence[int] | None = None,
    random_state: RandomState | None = None,
) -> dict[int, int]:
    """Divides the devices among the live trials.

    Parameters
    ----------
    policy
        One of :const:`POLICIES`.
    values
        Latest metric of every live trial, to be minimised; None for a trial that has not reported.
        ``+inf`` and NaN count as None.
    num_devices
        Number of devices, at least the number of trials.
    sizes
        Sizes that a trial may hold, in ascending order from 1, as returned by
        :meth:`~syne_hypersched.allocation.scaling.Scaling.usable_sizes`. None: every size is allowed.
    random_state
        Generator that ``random`` draws from; the other policies need none.

    Returns
    -------
    dict
        Devices by trial id, best trial first: each one of ``sizes``, in total at most ``num_devices``.

    Raises
    ------
    ValueError
        The policy is unknown, there are more trials than devices, ``sizes`` do not ascend from 1, or ``random`` has no
        generator.
    """
    _check_one_of(POLICIES, policy)
    if len(values) > num_devices:
        raise ValueError(f"num_devices must be at least {len(values)}, the live trials, but got {num_devices!r}")
    if sizes is None:
        sizes = range(1, max(num_devices, 1) + 1)
    if not sizes or sizes[0] != 1 or any(low >= high for low, high in pairwise(sizes)):
        raise ValueError(f"sizes must ascend strictly from 1, but got {sizes!r}")
    if policy == "random" and random_state is None:
        raise ValueError("random_state must be given with policy 'random', but got None")
    ranked = rank(values)
    allocation = _Allocation(ranked, num_devices, sizes)
    if policy == "uniform":
        _uniform(allocation)
    elif policy == "top_job":
        _top_job(allocation)
    elif policy == "softmax":
        _softmax(allocation, softmax([_known(values[trial_id]) for trial_id in ranked]))
    elif policy == "random" and random_state is not None:
        _random(allocation, random_state)
    return allocation.held


def check_policy(policy: str) -> None:
    """Raises a ValueError that lists the policies (with :const:`GOODPUT`) if ``policy`` is unknown."""
    _check_one_of((*POLICIES, GOODPUT), policy)


def _check_one_of(policies: Sequence[str], policy: str) -> None:
    if not checks.is_one_of(policy, policies):
        raise ValueError(f"policy must be one of {', '.join(map(repr, policies))}, but got {policy!r}")


class _Allocation:
    """Devices held by each trial, growing one usable size at a time."""

    def __init__(self, ranked: list[int], num_devices: int, sizes: Sequence[int]) -> None:
        self.ranked = ranked
        self.held = dict.fromkeys(ranked, 1)
        self.spare = num_devices - len(ranked)
        self._sizes = sizes
        self._position = dict.fromkeys(ranked, 0)

    def can_grow(self, trial_id: int) -> bool:
        """Whether the next size exists and enough devices are free."""
        above = self._position[trial_id] + 1
        return above < len(self._sizes) and self._sizes[above] - self.held[trial_id] <= self.spare

    def grow(self, trial_id: int) -> None:
        """Gives the trial its next size."""
        self._position[trial_id] += 1
        size = self._sizes[self._position[trial_id]]
        self.spare -= size - self.held[trial_id]
        self.held[trial_id] = size


def _uniform(allocation: _Allocation) -> None:
    growing = allocation.ranked
    while growing:
        growing = [trial_id for trial_id in growing if allocation.can_grow(trial_id)]
        for trial_id in growing:
            if allocation.can_grow(trial_id):
                allocation.grow(trial_id)


def _top_job(allocation: _Allocation) -> None:
    for trial_id in allocation.ranked:
        while allocation.can_grow(trial_id):
            allocation.grow(trial_id)


def _softmax(allocation: _Allocation, shares: Sequence[float]) -> None:
    # Each step goes to the trial furthest below its quota. If a step is one device, this is the method of largest
    # remainders. It is also defined for larger steps.
    below_quota = {
        trial_id: share * allocation.spare for trial_id, share in zip(allocation.ranked, shares, strict=True)
    }
    growing = allocation.ranked
    while growing := [trial_id for trial_id in growing if allocation.can_grow(trial_id)]:
        neediest = max(growing, key=below_quota.__getitem__)
        below_quota[neediest] += allocation.held[neediest]
        allocation.grow(neediest)
        below_quota[neediest] -= allocation.held[neediest]


def _random(allocation: _Allocation, random_state: RandomState) -> None:
    growing = allocation.ranked
    while growing := [trial_id for trial_id in growing if allocation.can_grow(trial_id)]:
        allocation.grow(growing[int(random_state.randint(len(growing)))])


def softmax(values: Sequence[float]) -> list[float]:
    """Shares in proportion to ``exp(-value)``. They do not change if all values are shifted by the same amount.

    ``+inf`` has share 0. If every value is infinite, all shares are equal.
    """
    best = min(values, default=math.inf)
    if best == math.inf:
        return [1 / len(values) for _ in values]
    weights = [math.exp(best - value) for value in values]
    total = sum(weights)
    return [weight / total for weight in weights]


def _known(value: float | None) -> float:
    return math.inf if value is None or math.isnan(value) else value
