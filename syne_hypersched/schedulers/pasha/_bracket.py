"""The bracket of PASHA, as values: promotion ASHA with a cap that grows (Bohdal et al., ICLR 2023)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from syne_hypersched.rungs import Rung
from syne_hypersched.schedulers.asha import STOP, PromotionBracket, Verdict
from syne_hypersched.schedulers.pasha._criteria import RankingCriterion
from syne_hypersched.schedulers.pasha._epsilon import CrissCrossEpsilon, LearningCurves


class ProgressiveBracket(PromotionBracket):
    """The promotion variant of successive halving with a cap that grows only while the ranking of trials is changing.

    The cap starts at the second rung, and trials are promoted from the rungs below it. After every report below
    ``max_t`` the two highest rungs up to the cap are compared; when the ranking criterion says that the ranking has
    changed, the cap moves up one rung, and beyond the last rung to ``max_t``, for good. With fewer than two rungs there
    is nothing to compare, and the cap is ``max_t`` from the start. A second report of a trial for one resource level
    changes nothing.

    Two rungs that a trial has passed with one and the same report hold the same value, so that their rankings never
    differ. As long as no trial has reported between the two compared rungs, they count as one, and the cap moves to the
    first rung above that report.

    Parameters
    ----------
    levels
        Levels of the rungs, ascending and below ``max_t``.
    max_t
        Resource at which every trial is stopped.
    make_criterion
        Makes the ranking criterion for each pair of rungs.
    automatic_epsilon
        Whether epsilon of the criterion, a :class:`~syne_hypersched.schedulers.pasha._criteria.SoftRanking`, is that of
        :class:`~syne_hypersched.schedulers.pasha._epsilon.CrissCrossEpsilon`.
    """

    def __init__(
        self,
        levels: Sequence[float],
        max_t: float,
        make_criterion: Callable[[], RankingCriterion],
        automatic_epsilon: bool,
    ) -> None:
        super().__init__(levels, max_t)
        self._make_criterion = make_criterion
        self._curves: LearningCurves = {}
        self._automatic = CrissCrossEpsilon(self._curves) if automatic_epsilon else None
        #: The trials that each rung but the lowest has recorded, in this order.
        self._recorded: list[list[int]] = [[] for _ in levels]
        self._cap = max_t
        self._top = 0
        self._criterion = make_criterion()
        if len(levels) >= 2:
            self._compare_up_to(1)

    @property
    def cap(self) -> float:
        """Current maximum resource."""
        return self._cap

    @property
    def epsilon(self) -> float | None:
        """Distance up to which trials counted as equal in the last comparison; None if the criterion has none."""
        return self._criterion.epsilon

    def report(self, trial_id: int, resource: float, value: float) -> Verdict:
        """Decides on a report as promotion ASHA does, and moves the cap if the ranking has changed.

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
            See :meth:`PromotionBracket.report`. The report of a trial that is not running changes nothing.
        """
        if not self.is_running(trial_id):
            return super().report(trial_id, resource, value)
        missing = [i for i, rung in enumerate(self.ladder.rungs) if i > 0 and trial_id not in rung]
        decision = super().report(trial_id, resource, value)
        for i in missing:
            if trial_id in self.ladder.rungs[i]:
                self._recorded[i].append(trial_id)
                if i == self._top:
                    self._record(trial_id)
        num_passed = len(self.ladder.passed(resource))
        if self._top in missing and self._top < num_passed and resource < self.max_t:
            self._merge_up_to(num_passed)
        if resource < self.max_t and resource not in self._curves.setdefault(trial_id, {}):
            self._curves[trial_id][resource] = value
            self._compare(trial_id, resource)
        if decision == STOP and resource < self.max_t:
            # Nothing is resumed any more. Its own arrival may have moved the cap.
            return self._go_on_or_stop(trial_id, self.ladder.passed(resource)[0])
        return decision

    def _open_rungs(self) -> Sequence[Rung]:
        return [rung for rung in self.ladder.rungs if rung.level < self._cap]

    def _may_be_promoted(self, trial_id: int, rung: Rung, num_coming: int) -> bool:
        """At the cap, and beyond, only the best goes on, and only if a worker would be idle otherwise.

        Whether the cap is going to move is not known; what is known is that nothing else can be done for that worker.
        """
        if rung.level < self._cap:
            return super()._may_be_promoted(trial_id, rung, num_coming)
        value, others_run = rung.value(trial_id), bool(self._milestone) or not self._resumes
        return others_run and value < math.inf and rung.num_better(value) == 0

    def _compare(self, trial_id: int, resource: float) -> None:
        if self._top == 0:
            return
        if self._automatic is not None:
            self._criterion.epsilon = self._automatic.update(trial_id, resource)
        if self._cap < self.max_t and self._criterion.changed():
            if self._top + 1 < len(self.ladder.rungs):
                self._compare_up_to(self._top + 1)
            else:
                self._cap = self.max_t

    def _compare_up_to(self, top: int) -> None:
        rungs = self.ladder.rungs
        self._top, self._cap = top, rungs[top].level
        epsilon = self._criterion.epsilon
        self._criterion = self._make_criterion()
        if self._automatic is not None:
            self._criterion.epsilon = epsilon
            self._automatic.set_interval(rungs[top - 1].level, rungs[top].level)
        for trial_id in self._recorded[top]:
            self._record(trial_id)

    def _merge_up_to(self, num_passed: int) -> None:
        """A trial has arrived at the cap, and has passed so many rungs: these may count as one."""
        rungs = self.ladder.rungs
        low, high = rungs[self._top - 1].level, rungs[self._top].level
        if self._cap == self.max_t or any(low <= level < high for curve in self._curves.values() for level in curve):
            return
        if num_passed < len(rungs):
            self._compare_up_to(num_passed)
        else:
            self._cap = self.max_t

    def _record(self, trial_id: int) -> None:
        rungs = self.ladder.rungs
        self._criterion.record(rungs[self._top - 1].value(trial_id), rungs[self._top].value(trial_id))
