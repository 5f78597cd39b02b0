"""Progressive asynchronous successive halving (PASHA).

Bohdal, Balles, Wistuba, Ermis, Archambeau and Zappella, "PASHA: Efficient HPO and NAS with Progressive Resource
Allocation", ICLR 2023. The decisions are those of :class:`ProgressiveBracket`; :class:`PASHA` connects it with Syne
Tune.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from syne_hypersched.rungs import Rung, rung_levels
from syne_hypersched.schedulers._arguments import Config
from syne_hypersched.schedulers._asha import ASHA
from syne_hypersched.schedulers._brackets import STOP, Decision, PromotionBracket
from syne_hypersched.schedulers._epsilon import CrissCrossEpsilon, LearningCurves
from syne_hypersched.schedulers._ranking import RankingCriterion, criterion_factory

ST_PASHA_MAX_T = "st_pasha_max_t"
"""Key that PASHA adds to every result: the cap after the report."""

ST_PASHA_EPSILON = "st_pasha_epsilon"
"""Key that PASHA adds to every result: epsilon after the report, None where the ranking criterion has none."""


class ProgressiveBracket(PromotionBracket):
    """The promotion variant of successive halving with a cap that grows only while the ranking of trials is changing.

    The cap starts at the second rung, and trials are promoted from the rungs below it. After every report below
    ``max_t`` the two highest rungs up to the cap are compared; when the ranking criterion says that the ranking has
    changed, the cap moves up one rung, and beyond the last rung to ``max_t``, for good. With fewer than two rungs there
    is nothing to compare, and the cap is ``max_t`` from the start. A second report of a trial for one resource level
    changes nothing.

    Parameters
    ----------
    levels
        Levels of the rungs, ascending and below ``max_t``.
    max_t
        Resource at which every trial is stopped.
    make_criterion
        Makes the ranking criterion for each pair of rungs.
    automatic_epsilon
        Whether epsilon of the criterion, a :class:`~syne_hypersched.schedulers._ranking.SoftRanking`, is that of
        :class:`~syne_hypersched.schedulers._epsilon.CrissCrossEpsilon`.
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

    def report(self, trial_id: int, resource: float, value: float) -> Decision:
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
        Decision
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

    def _record(self, trial_id: int) -> None:
        rungs = self.ladder.rungs
        self._criterion.record(rungs[self._top - 1].value(trial_id), rungs[self._top].value(trial_id))


class PASHA(ASHA):
    """Promotion ASHA whose maximum resource, the *cap*, grows only while the ranking of trials is still changing.

    PASHA answers earlier than ASHA, at nearly the quality, when few resource levels suffice to tell good configurations
    from bad ones. Where ``max_t`` is reached anyway it costs as much as ASHA. The best trial may have been trained up
    to the cap only, and is then to be trained to the end by the user.

    Every result gets two further columns, ``st_pasha_max_t`` and ``st_pasha_epsilon``: the cap and epsilon after the
    report.

    Deviations from the authors' code: no pair of trials is counted twice; ties, skipped epochs, ladders of less than
    three rungs and NaN are defined (see :class:`~syne_hypersched.schedulers._epsilon.CrissCrossEpsilon` and
    :class:`ProgressiveBracket`); RRR is relative to absolute values. See :class:`~syne_hypersched.schedulers.ASHA` for
    the rule of promotion.

    Parameters
    ----------
    config_space, metric, time_attr, max_t, do_minimize
        See :class:`~syne_hypersched.schedulers._base.MultiFidelityScheduler`.
    ranking_criterion
        When the ranking of the trials in the highest rung up to the cap has changed against the rung below.
        ``"soft_ranking_auto"``: when a trial has changed places with one from which it differs by more than epsilon in
        the rung below; epsilon is the 90th percentile of the distances between trials whose learning curves have
        criss-crossed. ``"soft_ranking"``: the same with a fixed epsilon. ``"soft_ranking_std"``,
        ``"soft_ranking_mean_dst"``, ``"soft_ranking_median_dst"``: epsilon in proportion to the standard deviation, or
        the mean or median distance, of the values in the rung below. ``"direct"``: when the two orders differ at all.
        ``"rbo"``: when their rank-biased overlap is below a threshold. ``"rrr"``, ``"arrr"``: when the (absolute)
        reciprocal rank regret is above one.
    ranking_kwargs
        Parameters of the criterion: ``epsilon``, in units of the metric, of ``"soft_ranking"``; ``scale`` of
        ``"soft_ranking_std"`` (2 by default), ``"soft_ranking_mean_dst"`` and ``"soft_ranking_median_dst"`` (1);
        ``p`` (0.5) and ``threshold`` of ``"rbo"`` (0.5), ``"rrr"`` and ``"arrr"`` (0.05).
    grace_period
        Level of the lowest rung, at most ``max_t``.
    reduction_factor
        Ratio of neighbouring rung levels, greater than 1; about one in ``reduction_factor`` trials gets beyond a rung.
    max_resource_attr
        Name of the argument of the training script that tells it how far to train; it is set to the trial's next rung.
        See :class:`~syne_hypersched.schedulers.ASHA`.
    max_paused
        Most paused trials that may be resumed at a time, see :class:`~syne_hypersched.schedulers.ASHA`.
    searcher, searcher_kwargs, points_to_evaluate, random_seed
        See :class:`~syne_hypersched.schedulers._base.MultiFidelityScheduler`. With a model-based searcher, such as
        ``"botorch"``, this is PASHA-BO.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; the message names it.
    """

    def __init__(
        self,
        config_space: dict[str, Any],
        metric: str,
        time_attr: str,
        max_t: float,
        do_minimize: bool = True,
        *,
        ranking_criterion: str = "soft_ranking_auto",
        ranking_kwargs: Mapping[str, float] | None = None,
        grace_period: float = 1,
        reduction_factor: float = 3,
        max_resource_attr: str | None = None,
        max_paused: int | None = None,
        searcher: str | object = "random_search",
        searcher_kwargs: dict[str, Any] | None = None,
        points_to_evaluate: Sequence[Config] | None = None,
        random_seed: int | None = None,
    ) -> None:
        super().__init__(
            config_space,
            metric,
            time_attr,
            max_t,
            do_minimize,
            type="promotion",
            grace_period=grace_period,
            reduction_factor=reduction_factor,
            max_resource_attr=max_resource_attr,
            max_paused=max_paused,
            searcher=searcher,
            searcher_kwargs=searcher_kwargs,
            points_to_evaluate=points_to_evaluate,
            random_seed=random_seed,
        )
        if ranking_kwargs is not None and not isinstance(ranking_kwargs, Mapping):
            raise TypeError(f"ranking_kwargs must be a dictionary or None, but got {ranking_kwargs!r}")
        self.ranking_criterion = ranking_criterion
        self.ranking_kwargs = None if ranking_kwargs is None else dict(ranking_kwargs)
        self._bracket = ProgressiveBracket(
            rung_levels(self.grace_period, self.reduction_factor, self.max_t),
            self.max_t,
            criterion_factory(ranking_criterion, self.ranking_kwargs or {}),
            automatic_epsilon=ranking_criterion == "soft_ranking_auto",
        )
        self._brackets = [self._bracket]

    @property
    def current_max_t(self) -> float:
        """The cap: resource up to which trials are trained at present."""
        return self._bracket.cap

    @property
    def epsilon(self) -> float | None:
        """Distance, in units of the metric, up to which trials count as equal; None if the criterion has none."""
        return self._bracket.epsilon

    def _add_to(self, result: dict[str, Any]) -> None:
        """Adds the cap and epsilon."""
        result[ST_PASHA_MAX_T] = self.current_max_t
        result[ST_PASHA_EPSILON] = self.epsilon
