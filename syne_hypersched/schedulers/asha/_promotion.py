"""The promotion variant of asynchronous successive halving in one bracket, as values: reports in, verdicts out.

Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from syne_hypersched.rungs import Rung, RungLadder
from syne_hypersched.schedulers.asha._verdicts import CONTINUE, PAUSE, STOP, Verdict

_ROUNDING = 1e-9
"""Tolerance with which a rank equals the last sufficient rank."""


class PromotionBracket:
    """The promotion variant: a trial is paused at its next rung, its milestone, and promoted once it is good enough.

    Parameters
    ----------
    levels
        Levels of the rungs, ascending and below ``max_t``.
    max_t
        Resource at which every trial is stopped: the milestone beyond the highest rung.
    """

    def __init__(self, levels: Sequence[float], max_t: float) -> None:
        self.ladder = RungLadder(levels)
        self.max_t = max_t
        self._next_level = dict(zip(levels, (*levels[1:], max_t), strict=False))
        # A trial is a key of one of the two, or has ended.
        self._milestone: dict[int, float] = {}
        self._paused_at: dict[int, Rung] = {}
        self._resumes = True

    @property
    def first_milestone(self) -> float:
        """The milestone of a new trial: the level of the lowest rung, or ``max_t`` if there is no rung."""
        return self.ladder.rungs[0].level if self.ladder.rungs else self.max_t

    def add(self, trial_id: int) -> None:
        """Takes in a new trial, which is running to the first milestone."""
        self._milestone[trial_id] = self.first_milestone

    def is_running(self, trial_id: int) -> bool:
        """Whether reports of the trial count."""
        return trial_id in self._milestone

    def report(self, trial_id: int, resource: float, value: float) -> Verdict:
        """Decides on a report of a trial.

        A trial that passes its milestone between two reports is recorded at every rung passed, and paused at the
        highest of them.

        Parameters
        ----------
        trial_id
            The trial.
        resource
            Its resource level.
        value
            Its value, to be minimised; ``+inf`` is the worst.

        Returns
        -------
        Verdict
            ``CONTINUE``, ``PAUSE`` at a milestone, or ``STOP`` at ``max_t``. The report of a trial that is not running
            changes nothing and means ``PAUSE`` if the trial is paused and ``STOP`` if it has ended. After
            :meth:`stop_resuming` a milestone means ``CONTINUE`` for a trial that may yet be promoted, else ``STOP``.
        """
        if trial_id not in self._milestone:
            return PAUSE if trial_id in self._paused_at else STOP
        if resource < self._milestone[trial_id]:
            return CONTINUE
        recorded = self.ladder.record(trial_id, resource, value)
        del self._milestone[trial_id]
        if resource >= self.max_t:
            return STOP
        if not self._resumes:
            return self._go_on_or_stop(trial_id, recorded[0])
        recorded[0].pause(trial_id)
        self._paused_at[trial_id] = recorded[0]
        return PAUSE

    def promote(self) -> tuple[int, float] | None:
        """Promotes the best paused trial of the highest rung that has a promotable one.

        A trial is promotable if its value is at least as good as the quantile of its rung whose order is the rung's
        level over the next one (over ``max_t`` at the highest rung). A rung with a single value promotes nothing, nor
        is a trial ever promoted whose value is not finite.

        Returns
        -------
        tuple or None
            The trial, which is running from now on, and its milestone. None if no trial is promotable.
        """
        for rung in reversed(self._open_rungs()):
            trial_id = promotable_trial(rung, self._order(rung))
            if trial_id is not None:
                return self._promoted(trial_id, rung)
        return None

    def promote_in_advance(self, hopeless: bool = False) -> tuple[int, float] | None:
        """Promotes a trial that is not promotable, but may yet be when others have arrived at its rung.

        For a worker that is free while nothing new can be started: once Syne Tune's tuner was told that there is
        nothing to do for it, it never asks again, and no paused trial goes on any more.

        Parameters
        ----------
        hopeless
            Whether a trial is taken even if it can never be promotable, unless its value is not finite.

        Returns
        -------
        tuple or None
            As of :meth:`promote`: the best such trial of the highest rung that has one.
        """
        paused: dict[float, list[int]] = {}
        for trial_id, rung in self._paused_at.items():
            paused.setdefault(rung.level, []).append(trial_id)
        found, from_below = None, 0
        for rung in self.ladder.rungs:
            num_coming = from_below + self._num_coming(rung)
            hopeful = [
                trial_id
                for trial_id in paused.get(rung.level, ())
                if (hopeless and rung.value(trial_id) < math.inf) or self._may_be_promoted(trial_id, rung, num_coming)
            ]
            if hopeful:
                found = (min((rung.value(trial_id), trial_id) for trial_id in hopeful)[1], rung)
            from_below += len(hopeful)
        return None if found is None else self._promoted(*found)

    def stop_resuming(self) -> None:
        """Stops resuming and pausing trials from now on."""
        self._resumes = False

    def _promoted(self, trial_id: int, rung: Rung) -> tuple[int, float]:
        rung.unpause(trial_id)
        del self._paused_at[trial_id]
        self._milestone[trial_id] = self._next_level[rung.level]
        return trial_id, self._next_level[rung.level]

    def _go_on_or_stop(self, trial_id: int, rung: Rung) -> Verdict:
        """Decides on a trial that has just arrived at a rung, where nothing is resumed any more."""
        if not self._may_be_promoted(trial_id, rung, self._num_coming(rung)):
            return STOP
        self._milestone[trial_id] = self._next_level[rung.level]
        return CONTINUE

    def _may_be_promoted(self, trial_id: int, rung: Rung, num_coming: int) -> bool:
        """Whether a trial is promotable, or will be if later arrivals at its rung are worse.

        Unlike :meth:`promote`,
        this includes a trial that is and will be alone at its rung, because it is the best.
        """
        value, most_better = rung.value(trial_id), self._order(rung) * (len(rung) + num_coming - 1)
        return value < math.inf and rung.num_better(value) <= most_better + _ROUNDING

    def _num_coming(self, rung: Rung) -> int:
        """Running trials that have not arrived at a rung yet."""
        return sum(trial_id not in rung for trial_id in self._milestone)

    def _order(self, rung: Rung) -> float:
        """Order of the quantile that a trial has to reach at a rung in order to be promoted."""
        return rung.level / self._next_level[rung.level]

    def _open_rungs(self) -> Sequence[Rung]:
        """The rungs, ascending, from which trials may be promoted."""
        return self.ladder.rungs

    def end(self, trial_id: int) -> None:
        """Ends a trial for good, paused or not; what it has recorded stays."""
        self._milestone.pop(trial_id, None)
        rung = self._paused_at.pop(trial_id, None)
        if rung is not None:
            rung.unpause(trial_id)


def promotable_trial(rung: Rung, quantile: float) -> int | None:
    """The best paused trial of a rung if it may be promoted.

    Parameters
    ----------
    rung
        The rung.
    quantile
        Order of the quantile that the trial's value has to reach; equality counts.

    Returns
    -------
    int or None
        The trial, or None if there is none, if it is too weak or if the rung has fewer than two values.
    """
    if len(rung) < 2:
        return None
    trial_id = rung.best_paused()
    if trial_id is None:
        return None
    value = rung.value(trial_id)
    return trial_id if value < math.inf and value <= rung.quantile(quantile) else None
