"""Successive halving of the adaptive strategy while it explores: dense rungs, and no verdict without evidence."""

from __future__ import annotations

import math

from syne_hypersched.rungs import Rung, RungLadder
from syne_hypersched.schedulers._reasons import NOT_FINITE, Reason, because, weak_at

FIRST_RUNG = 2
"""Level of the first rung, in levels of a first report. What is reported first says little: on six of seven tables of
real learning curves the order after one epoch is unrelated to the order at the end, and after two it is not."""

RATIO = 2
"""Ratio of neighbouring rungs. With few trials, dense rungs find out earlier which of them are weak."""

MOST_RUNGS = 10
"""A level of less than one in ``FIRST_RUNG * 2 ** MOST_RUNGS`` of the maximum says nothing of the unit of the reports.
It is 0 or below, for what was reported before training, or some milliseconds where time is the resource."""

REDUCTION_FACTOR = 3
"""One trial in this many is kept at a rung."""

LEAST_RECORDED = 3
"""The first trials to reach a rung pause until this many values exist there, unless one is the best of all so far."""


class PausingHalving:
    """Says which trials are weak, and which paused one may go on. Values are to be minimised.

    The first value at or past a rung is recorded there. A trial that has just reached a rung is weak if more than one
    in ``reduction_factor`` of the values recorded there are strictly better. It also counts as weak while fewer than
    :const:`LEAST_RECORDED` values are recorded there, unless it has reported the best value of all so far. It goes on
    as soon as that no longer holds. With enough values this is the rule of promotion ASHA (Li et al., 2020), applied
    on arrival, so that a good trial goes on without a pause.

    Parameters
    ----------
    max_t
        Maximum resource; no rung lies there or above.
    first_rung
        Level of the first rung; by default twice the first level reported that is not next to nothing, see
        :const:`MOST_RUNGS`.
    reduction_factor
        One in this many trials is kept at a rung.
    """

    def __init__(
        self, max_t: float, first_rung: float | None = None, reduction_factor: float = REDUCTION_FACTOR
    ) -> None:
        self._max_t = max_t
        self._share = 1 / reduction_factor
        self._ladder: RungLadder | None = None if first_rung is None else self._make_ladder(first_rung)
        #: The rung at which each paused trial waits.
        self._paused_at: dict[int, Rung] = {}
        #: The best value that was reported, and by whom.
        self._best: tuple[float, int | None] = (math.inf, None)

    def _make_ladder(self, first_rung: float) -> RungLadder:
        levels, level = [], first_rung
        while level < self._max_t:
            levels.append(level)
            level *= RATIO
        return RungLadder(levels)

    def report(self, trial_id: int, resource: float, value: float) -> bool:
        """Records a report, and says whether the trial is weak; a value of ``+inf`` always is."""
        if self._ladder is None and FIRST_RUNG * resource * RATIO**MOST_RUNGS >= self._max_t:
            self._ladder = self._make_ladder(FIRST_RUNG * resource)
        reached = () if self._ladder is None else self._ladder.record(trial_id, resource, value)
        if value == math.inf:
            return True
        if value < self._best[0]:
            self._best = (value, trial_id)
        if not reached or not self._is_weak(trial_id, reached[0]):
            return False
        self._paused_at[trial_id] = reached[0]
        return True

    def why_weak(self, trial_id: int) -> Reason:
        """Why the trial was called weak just now; :const:`NOT_FINITE` if no rung is the cause."""
        rung = self._paused_at.get(trial_id)
        if rung is None:
            return NOT_FINITE
        if len(rung) >= LEAST_RECORDED:
            return weak_at(trial_id, rung, 1 / self._share)
        return because(
            f"waits at the rung of level {rung.level:g} for others: {len(rung)} of {LEAST_RECORDED} values are there",
            rung=rung.level,
            num_recorded=len(rung),
            least_recorded=LEAST_RECORDED,
        )

    def pause(self, trial_id: int) -> None:
        """Pauses a weak trial at the rung that it has reached last, until it is no longer weak."""
        rung = self._paused_at.get(trial_id)
        if rung is not None:
            rung.pause(trial_id)

    def forget(self, trial_id: int) -> None:
        """Drops a paused trial that is resumed, or never will be; its recorded values stay."""
        rung = self._paused_at.pop(trial_id, None)
        if rung is not None:
            rung.unpause(trial_id)

    def promotable(self) -> int | None:
        """The best paused trial that is no longer weak, at the highest rung with any; None without one."""
        for rung in () if self._ladder is None else self._ladder.rungs[::-1]:
            trial_id = rung.best_paused()
            if trial_id is not None and not self._is_weak(trial_id, rung):
                return trial_id
        return None

    def _is_weak(self, trial_id: int, rung: Rung) -> bool:
        if len(rung) < LEAST_RECORDED and trial_id != self._best[1]:
            return True
        return rung.num_better(rung.value(trial_id)) > self._share * len(rung)
