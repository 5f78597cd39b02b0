"""Asynchronous successive halving (ASHA), by stopping or by promotion.

Li, Jamieson, Rostamizadeh, Gonina, Hardt, Recht and Talwalkar, "A System for Massively Parallel Hyperparameter Tuning",
MLSys 2020. The decisions are those of the brackets; :class:`ASHA` connects them with Syne Tune.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import Domain
from syne_tune.optimizer.scheduler import TrialSuggestion

from syne_hypersched.checks import integer, is_one_of
from syne_hypersched.rungs import RungLadder, rung_levels
from syne_hypersched.schedulers._arguments import Config
from syne_hypersched.schedulers._reports import Usable
from syne_hypersched.schedulers.asha._promotion import PromotionBracket
from syne_hypersched.schedulers.asha._stopping import StoppingBracket
from syne_hypersched.schedulers.asha._verdicts import CONTINUE, STOP, Verdict
from syne_hypersched.schedulers.base import MultiFidelityScheduler

logger = logging.getLogger(__name__)


class ASHA(MultiFidelityScheduler):
    """Asynchronous successive halving.

    Example::

        scheduler = ASHA(space, metric="val_loss", time_attr="epoch", max_t=81, type="promotion", random_seed=0)
        Tuner(ElasticLocalBackend("train.py", num_devices=8), scheduler, Deadline(3600), n_workers=8).run()

    Trials are compared when they reach the rungs ``grace_period * reduction_factor ** i`` below ``max_t``.

    ``type="stopping"`` stops a trial at a rung unless it is among the best ones there. Its decisions are those of Syne
    Tune 0.16's ``ASHA`` on the same reports, with these exceptions:

    * The bracket of a trial is drawn from the scheduler's own generator, with Syne Tune's probabilities, and not from
      NumPy's process-wide one.
    * Rung levels are exact decimals. With a reduction factor such as 1.1 Syne Tune's level is 110.00000000000001, and a
      trial is compared only at 111.
    * A NaN or infinite metric counts as worst. Syne Tune sorts NaN, which gives any rank, and takes ``-inf`` as best.
    * A report of a trial that was stopped, or has failed or completed, is ignored. Syne Tune fails, or records it.
    * More brackets than rungs plus one are refused. Syne Tune accepts any number; the additional ones stop no trial.

    ``type="promotion"``, the algorithm of the paper, pauses every trial at each rung and promotes it (resumes it
    towards the next rung) once it is good enough; with nothing to promote a new trial is started. Different from the
    paper, which promotes the best ``floor(n / reduction_factor)`` of ``n`` trials, a trial is promotable when its value
    is at least as good as the interpolated quantile of the rung whose order is the ratio of the levels, as it was in
    Syne Tune before 0.15.

    A searcher may run out of configurations: a grid, a small space, a list of points. Then a free worker goes on with a
    paused trial that may yet become promotable, and the best one is always trained to ``max_t``. Where there is none
    for it (more workers than configurations), Syne Tune's tuner asks for no trial to resume from then on. From then on
    no trial is paused: at a rung it goes on if it is promotable, or could be when those still to come turn out worse,
    and is stopped otherwise.

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
    type
        ``"stopping"`` or ``"promotion"``.
    grace_period
        Level of the lowest rung, at most ``max_t``.
    reduction_factor
        Ratio of neighbouring rung levels, greater than 1; about one in ``reduction_factor`` trials gets beyond a rung.
    brackets
        Number of brackets. Bracket ``s`` lacks the ``s`` lowest rungs; each trial belongs to one bracket, drawn with
        probability proportional to ``e`` to the power of its number of rungs. With ``type="promotion"`` the bracket is
        drawn first, and a trial is promoted or started in it.
    max_resource_attr
        Name of the argument of the training script that tells it how far to train. With ``type="promotion"`` it is set
        to the trial's milestone, rounded up to a whole unit where ``grace_period`` and ``max_t`` are integers, so that
        the script stops by itself and does no work that a pause would discard; otherwise, and for trials that are
        resumed when the searcher has run out of configurations, it is set to ``max_t``. None
        means that the configuration has no such entry, and then trials are only ever paused by the backend.
    max_paused
        Most paused trials that may be resumed at a time, at least 1, so that a backend with ``delete_checkpoints=True``
        keeps no more checkpoints. When there are more, the worst one at the lowest rung is given up. By default any
        number, as in the paper. With ``type="promotion"`` only.
    searcher
        ``"random_search"``, ``"joint"`` (a model over configuration and resource, see ``docs/searching.md``), another
        name of a Syne Tune searcher (``"kde"``, ``"bore"``, ``"cqr"``, ``"botorch"``,
        ``"regularized_evolution"``), which then learns from the last value of every trial, or a searcher object.
    searcher_kwargs
        More arguments for the class that ``searcher`` names.
    points_to_evaluate
        Configurations to try first, in this order, each with a value for every domain of ``config_space``.
    random_seed
        Seed of everything random, non-negative. By default it is drawn from the operating system; the metadata has it.

    Attributes
    ----------
    ladders
        The rungs of each bracket, as a tuple of :class:`~syne_hypersched.rungs.RungLadder`.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; the message names it.

    Examples
    --------
    >>> from syne_tune.config_space import loguniform
    >>> scheduler = ASHA({"lr": loguniform(1e-4, 1)}, metric="loss", time_attr="epoch", max_t=81, type="promotion")
    >>> [rung.level for rung in scheduler.ladders[0].rungs]
    [1, 3, 9, 27]
    """

    def __init__(
        self,
        config_space: dict[str, Any],
        metric: str,
        time_attr: str,
        max_t: float,
        do_minimize: bool = True,
        *,
        type: Literal["stopping", "promotion"] = "stopping",
        grace_period: float = 1,
        reduction_factor: float = 3,
        brackets: int = 1,
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
            do_minimize=do_minimize,
            searcher=searcher,
            searcher_kwargs=searcher_kwargs,
            points_to_evaluate=points_to_evaluate,
            random_seed=random_seed,
            grace_period=grace_period,
            reduction_factor=reduction_factor,
            max_paused=max_paused,
        )
        if not is_one_of(type, ("stopping", "promotion")):
            raise ValueError(f"type must be 'stopping' or 'promotion', but got {type!r}")
        if type == "stopping" and max_paused is not None:
            raise ValueError(f'max_paused must be left out with type="stopping", which pauses none, got {max_paused!r}')
        if max_resource_attr is not None and not isinstance(max_resource_attr, str):
            raise TypeError(
                f"max_resource_attr must be the name of a script argument or None, got {max_resource_attr!r}"
            )
        if max_resource_attr is not None and isinstance(self.config_space.get(max_resource_attr), Domain):
            raise ValueError(f"max_resource_attr must not be searched, but {max_resource_attr!r} is in config_space")
        levels = rung_levels(self.grace_period, self.reduction_factor, self.max_t)
        brackets = integer("brackets", brackets)
        if not 1 <= brackets <= len(levels) + 1:
            raise ValueError(
                f"brackets must be from 1 to the number of rungs + 1 = {len(levels) + 1}, got {brackets!r}"
            )
        self.type = type
        self.brackets = brackets
        self.max_resource_attr = max_resource_attr
        self._brackets: list[StoppingBracket | PromotionBracket] = [
            StoppingBracket(levels[s:], self.reduction_factor, self.max_t)
            if type == "stopping"
            else PromotionBracket(levels[s:], self.max_t)
            for s in range(self.brackets)
        ]
        weights = np.exp(-np.arange(self.brackets, dtype=float))
        self._bracket_probabilities = weights / weights.sum()
        self._bracket_of: dict[int, StoppingBracket | PromotionBracket] = {}
        #: Brackets of the configurations suggested for which no trial has been added yet.
        self._suggested: deque[StoppingBracket | PromotionBracket] = deque()
        #: Configurations of trials that may be resumed; kept only if their milestone has to be changed then.
        self._configs: dict[int, Config] = {}
        #: Running trials whose scripts received a milestone at which to end.
        self._told: set[int] = set()
        #: Whether the searcher is exhausted, and whether the tuner knows that nothing more can run.
        self._all_suggested = self._exhausted = False
        self._warned = False

    @property
    def ladders(self) -> tuple[RungLadder, ...]:
        """The rungs of each bracket."""
        return tuple(bracket.ladder for bracket in self._brackets)

    def suggest(self) -> TrialSuggestion | None:
        """Resumes a promotable trial, else starts a new one.

        If the searcher is exhausted, it resumes a trial that may
        become promotable.

        Returns
        -------
        TrialSuggestion or None
            None if there is no such trial either, and from then on: Syne Tune's tuner does not ask again. Paused trials
            then stay paused, and no further trial is paused.
        """
        if self._exhausted:
            return None
        bracket = self._draw_bracket()
        promoted = bracket.promote()
        config = None if promoted is not None or self._all_suggested else self._new_config()
        if config is not None:
            self._suggested.append(bracket)
            return TrialSuggestion.start_suggestion(self._up_to(bracket.first_milestone, config))
        if promoted is None:
            self._all_suggested = True
            promoted = self._promote_anywhere()
        if promoted is None:
            self._exhausted = True
            for other in self._brackets:
                other.stop_resuming()
            for paused in self._checkpoints.paused:
                self._checkpoints.end(paused)
            return None
        trial_id, milestone = promoted
        self._resume(trial_id)
        config = self._configs.get(trial_id)
        if config is not None:
            config = self._up_to(milestone, config)
            if not self._all_suggested:
                self._told.add(trial_id)
        return TrialSuggestion.resume_suggestion(trial_id, config)

    def on_trial_add(self, trial: Trial) -> None:
        """Takes a new trial into the bracket that its suggestion was made for."""
        super().on_trial_add(trial)
        bracket = self._suggested.popleft() if self._suggested else self._draw_bracket()
        bracket.add(trial.trial_id)
        self._bracket_of[trial.trial_id] = bracket
        if self.max_resource_attr is not None and self.type == "promotion":
            self._configs[trial.trial_id] = dict(trial.config)
            self._told.add(trial.trial_id)

    def _on_report(self, trial: Trial, result: dict[str, Any], report: Usable) -> Verdict:
        """Decides whether a trial goes on, is paused (only with ``type="promotion"``) or is stopped.

        Raises
        ------
        ValueError
            The trial was never added.
        """
        trial_id = trial.trial_id
        value, resource = report
        try:
            bracket = self._bracket_of[trial_id]
        except KeyError:
            raise ValueError(f"trial {trial_id} has reported, but on_trial_add was never called for it") from None
        if bracket.is_running(trial_id):
            if self._tells:
                self._tell_searcher(trial, report)
            if self.incumbent is None or value < self.incumbent.value:
                self._update_incumbent(trial, result, report)
        decision = bracket.report(trial_id, resource, value)
        if decision == CONTINUE:
            return decision
        self._told.discard(trial_id)
        if decision == STOP:
            self._configs.pop(trial_id, None)
        else:
            self._checkpoints.pause(trial_id, resource, value)
        # Later reports of others may promote any trial except a diverged one.
        if decision == STOP or value == math.inf or self._exhausted:
            self._checkpoints.end(trial_id)
        if (surplus := self._checkpoints.surplus()) is not None:
            self._end(surplus)
        return decision

    def on_trial_complete(self, trial: Trial, result: dict[str, Any]) -> None:
        """Ends a trial whose script has ended by itself.

        A trial that has completed at its milestone was paused there by :meth:`on_trial_result`, and stays paused.
        """
        bracket = self._bracket_of.get(trial.trial_id)
        if bracket is not None and bracket.is_running(trial.trial_id):
            last = self._reports.last(trial.trial_id, result)
            if last is not None:
                bracket.report(trial.trial_id, last.resource, last.value)
                self._warn_of_milestone(trial, last.resource)
            self._end(trial.trial_id)
        super().on_trial_complete(trial, result)

    def on_trial_error(self, trial: Trial) -> None:
        """Ends a trial that has failed or was stopped from outside: it is never promoted, but its values count."""
        self._end(trial.trial_id)
        super().on_trial_error(trial)

    def _end(self, trial_id: int) -> None:
        bracket = self._bracket_of.get(trial_id)
        if bracket is not None:
            bracket.end(trial_id)
        self._checkpoints.end(trial_id)
        self._configs.pop(trial_id, None)
        self._told.discard(trial_id)

    def _promote_anywhere(self) -> tuple[int, float] | None:
        """A trial of any bracket that is promotable, or may become so.

        Scripts that know their milestone end there, so
        the tuner must go on asking until they have ended. It then gets any trial.
        """
        for bracket in self._brackets:
            if (promoted := bracket.promote()) is not None:
                return promoted
        for hopeless in (False, True) if self._told else (False,):
            for bracket in self._brackets:
                if (promoted := bracket.promote_in_advance(hopeless)) is not None:
                    return promoted
        return None

    def _warn_of_milestone(self, trial: Trial, resource: float) -> None:
        """Warns once that a script has exited at its milestone when it could no longer be resumed."""
        told = trial.config.get(self.max_resource_attr, math.inf)
        if self._warned or not self._exhausted or not told <= resource < self.max_t:
            return
        self._warned = True
        logger.warning(
            "trial %d has ended at %s=%g of max_t=%g, where %s made its script end, and cannot be resumed: the "
            "searcher had no further configuration for a free worker, and then Syne Tune's tuner never asks for a "
            "trial to resume. Use at most as many workers as there are configurations, or leave max_resource_attr out",
            trial.trial_id, self.time_attr, resource, self.max_t, self.max_resource_attr,
        )  # fmt: skip

    def _draw_bracket(self) -> StoppingBracket | PromotionBracket:
        if self.brackets == 1:
            return self._brackets[0]
        return self._brackets[self.random_state.choice(self.brackets, p=self._bracket_probabilities)]

    def _up_to(self, milestone: float, config: Config) -> Config:
        if self.max_resource_attr is None:
            return config
        if self._all_suggested:
            # A trial may have to go on at its milestone, since it could not be resumed.
            milestone = self.max_t
        whole_units = isinstance(self.grace_period, int) and isinstance(self.max_t, int)
        return config | {self.max_resource_attr: math.ceil(milestone) if whole_units else milestone}
