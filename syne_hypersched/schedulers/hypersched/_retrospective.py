"""Successive halving with pausing and the retrospective rule, as HyperSched does it."""

from __future__ import annotations

import math
from collections.abc import Iterable

from syne_hypersched.rungs import Rung, RungLadder
from syne_hypersched.schedulers._reasons import NOT_FINITE, Reason, weak_at


class RetrospectiveHalving:
    """Says which trials are weak, and which paused one may go on. Values are to be minimised.

    The first value at or past a rung is recorded there. A trial is weak at a rung if its recorded value is strictly
    worse than the cutoff, the ``1 / reduction_factor`` quantile, once two values are recorded. By the retrospective
    rule of Liaw et al. (HyperSched, 2019), a trial is compared at *every* report with today's cutoff of every rung
    that it has passed.

    Deviation from the authors' code: a paused trial is resumed only if it is weak at no rung. They look at one rung,
    and so resume trials that another rung pauses again at the next report.

    Parameters
    ----------
    levels
        Levels of the rungs, ascending.
    reduction_factor
        One in this many trials is kept at a rung.
    retrospective
        False compares a trial only with the rungs that it has just reached: plain rung stopping.
    """

    def __init__(self, levels: Iterable[float], reduction_factor: float, retrospective: bool = True) -> None:
        self._ladder = RungLadder(levels)
        self._share = 1 / reduction_factor
        self._retrospective = retrospective
        #: The rung at which each paused trial waits to be promotable.
        self._paused_at: dict[int, Rung] = {}
        #: Trials that are weak at no rung up to a level, whatever they have recorded there.
        self._pardoned: dict[int, float] = {}

    def report(self, trial_id: int, resource: float, value: float) -> bool:
        """Records a report, and says whether the trial is weak; a value of ``+inf`` always is."""
        recorded = self._ladder.record(trial_id, resource, value)
        rungs = self._ladder.passed(resource) if self._retrospective else recorded
        return value == math.inf or self._weak_at(trial_id, rungs) is not None

    def why_weak(self, trial_id: int) -> Reason:
        """Why the trial was called weak just now; :const:`NOT_FINITE` if no rung is the cause."""
        rung = self._highest_weak_rung(trial_id)
        return NOT_FINITE if rung is None else weak_at(trial_id, rung, 1 / self._share)

    def pause(self, trial_id: int) -> None:
        """Pauses a trial at the highest rung where it is weak, until it is no longer weak."""
        rung = self._highest_weak_rung(trial_id)
        if rung is not None:
            self._wait_at(trial_id, rung)

    def forget(self, trial_id: int) -> None:
        """A paused trial is resumed, or never will be; its recorded values stay."""
        rung = self._paused_at.pop(trial_id, None)
        if rung is not None:
            rung.unpause(trial_id)

    def promotable(self) -> int | None:
        """The best paused trial, at the highest rung with any, that no rung would pause again; None without one."""
        for rung in self._ladder.rungs[::-1]:
            while (trial_id := rung.best_paused()) is not None and self._weak_at(trial_id, [rung]) is None:
                weak_rung = self._highest_weak_rung(trial_id) if self._retrospective else None
                if weak_rung is None:
                    return trial_id
                self._wait_at(trial_id, weak_rung)
        return None

    def best_paused(self) -> int | None:
        """The best paused trial at the highest rung with any, weak as it is."""
        return next((best for rung in self._ladder.rungs[::-1] if (best := rung.best_paused()) is not None), None)

    def is_outdone(self, trial_id: int) -> bool:
        """Whether a paused trial is ahead of one that is weak: at a higher rung, or better at the same one."""
        own, best = self._highest_weak_rung(trial_id), self.best_paused()
        if own is None or best is None:
            return False
        rung = self._paused_at[best]
        return (rung.level, -rung.value(best)) > (own.level, -own.value(trial_id))

    def pardon(self, trial_id: int) -> None:
        """Compares a trial only with rungs that it has not reached yet."""
        reached = [rung.level for rung in self._ladder.rungs if trial_id in rung]
        self._pardoned[trial_id] = max(reached, default=-math.inf)

    def end_pardons(self) -> None:
        """Compares all trials with all rungs again."""
        self._pardoned.clear()

    def _highest_weak_rung(self, trial_id: int) -> Rung | None:
        return self._weak_at(trial_id, self._ladder.rungs[::-1])

    def _weak_at(self, trial_id: int, rungs: Iterable[Rung]) -> Rung | None:
        """The first of these rungs where the trial is strictly worse than today's cutoff."""
        for rung in rungs:
            if rung.level <= self._pardoned.get(trial_id, -math.inf):
                continue
            if trial_id in rung and len(rung) >= 2 and rung.value(trial_id) > rung.quantile(self._share):
                return rung
        return None

    def _wait_at(self, trial_id: int, rung: Rung) -> None:
        self.forget(trial_id)
        rung.pause(trial_id)
        self._paused_at[trial_id] = rung
