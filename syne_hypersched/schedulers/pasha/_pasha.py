"""Progressive asynchronous successive halving (PASHA).

Bohdal, Balles, Wistuba, Ermis, Archambeau and Zappella, "PASHA: Efficient HPO and NAS with Progressive Resource
Allocation", ICLR 2023. The decisions are those of :class:`ProgressiveBracket`; :class:`PASHA` connects it with Syne
Tune.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from syne_hypersched.rungs import rung_levels
from syne_hypersched.schedulers._arguments import Config
from syne_hypersched.schedulers.asha import ASHA
from syne_hypersched.schedulers.pasha._bracket import ProgressiveBracket
from syne_hypersched.schedulers.pasha._criteria import CriterionName, criterion_factory

ST_PASHA_MAX_T = "st_pasha_max_t"
"""Key that PASHA adds to every result: the cap after the report."""

ST_PASHA_EPSILON = "st_pasha_epsilon"
"""Key that PASHA adds to every result: epsilon after the report, None where the ranking criterion has none."""


class PASHA(ASHA):
    """Promotion ASHA whose maximum resource, the *cap*, grows only while the ranking of trials is still changing.

    Example::

        scheduler = PASHA(space, metric="val_loss", time_attr="epoch", max_t=200, max_resource_attr="epochs")
        Tuner(ElasticLocalBackend("train.py", num_devices=8), scheduler, Deadline(3600), n_workers=8).run()

    PASHA answers earlier than ASHA, at nearly the quality, when few resource levels suffice to tell good configurations
    from bad ones. Where ``max_t`` is reached anyway it costs as much as ASHA. The best trial may have been trained up
    to the cap only, and is then to be trained to the end by the user.

    Every result gets two further columns, ``st_pasha_max_t`` and ``st_pasha_epsilon``: the cap and epsilon after the
    report.

    Deviations from the authors' code: no pair of trials is counted twice. Ties, skipped epochs, ladders of less than
    three rungs and NaN are defined (see :class:`~syne_hypersched.schedulers.pasha._epsilon.CrissCrossEpsilon` and
    :class:`~syne_hypersched.schedulers.pasha._bracket.ProgressiveBracket`). RRR is relative to absolute values. See
    :class:`~syne_hypersched.schedulers.ASHA` for the rule of promotion.

    Parameters
    ----------
    config_space
        Configuration space: names to domains of ``syne_tune.config_space`` or to constants.
    metric
        Entry of a report that is optimised.
    time_attr
        Entry of a report that is the resource level, for example the number of epochs trained.
    max_t
        Maximum resource of a trial, which is stopped there.
    do_minimize
        Whether ``metric`` is to be minimised.
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
        Name of the argument of the training script that tells it how far to train; it is set to the trial's next rung,
        rounded up to a whole unit where ``grace_period`` and ``max_t`` are integers, so that the script stops by itself
        and does no work that a pause would discard. None means that the configuration has no such entry, and then
        trials are only ever paused by the backend.
    max_paused
        Most paused trials that may be resumed at a time, at least 1, so that a backend with ``delete_checkpoints=True``
        keeps no more checkpoints. When there are more, the worst one at the lowest rung is given up. By default any
        number, as in the paper.
    searcher
        ``"random_search"``, ``"joint"`` (a model over configuration and resource, see ``docs/searching.md``), another
        name of a Syne Tune searcher (``"kde"``, ``"bore"``, ``"cqr"``, ``"botorch"``,
        ``"regularized_evolution"``), which then learns from the last value of every trial, or a searcher object. With a
        model-based one, such as ``"botorch"``, this is PASHA-BO.
    searcher_kwargs
        More arguments for the class that ``searcher`` names.
    points_to_evaluate
        Configurations to try first, in this order, each with a value for every domain of ``config_space``.
    random_seed
        Seed of everything random, non-negative. By default it is drawn from the operating system; the metadata has it.

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
        ranking_criterion: CriterionName = "soft_ranking_auto",
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
