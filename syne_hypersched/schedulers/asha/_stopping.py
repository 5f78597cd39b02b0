"""The stopping variant of asynchronous successive halving in one bracket, as values: reports in, verdicts out.

Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from syne_hypersched.rungs import RungLadder
from syne_hypersched.schedulers.asha._verdicts import CONTINUE, STOP, Verdict


class StoppingBracket:
    """The stopping variant: at each rung, a trial goes on if it is among the best so far, else it is stopped.

    Parameters
    ----------
    levels
        Levels of the rungs, ascending and below ``max_t``.
    reduction_factor
        A trial goes on at a rung if the share of the trials recorded there, itself included, that are strictly better
        is at most ``1 / reduction_factor``.
    max_t
        Resource at which every trial is stopped.
    """

    def __init__(self, levels: Sequence[float], reduction_factor: float, max_t: float) -> None:
        self.ladder = RungLadder(levels)
        self.reduction_factor = reduction_factor
        self.max_t = max_t
        #: Running trials, each with the least level whose report may be recorded at a rung.
        self._running: dict[int, float] = {}

    @property
    def first_milestone(self) -> float:
        """Resource up to which a new trial runs unless it is stopped: ``max_t``."""
        return self.max_t

    def add(self, trial_id: int) -> None:
        """Takes in a new trial, which is running."""
        self._running[trial_id] = self.ladder.next_level(trial_id, -math.inf)

    def is_running(self, trial_id: int) -> bool:
        """Whether reports of the trial count."""
        return trial_id in self._running

    def report(self, trial_id: int, resource: float, value: float) -> Verdict:
        """Decides on a report of a trial.

        As in Syne Tune, one report is recorded at one rung only, the highest one passed where the trial has no value:
        of a trial that skips levels the next reports are recorded at the rungs below, and may stop it there.

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
            ``CONTINUE`` or ``STOP``. The report of a trial that is not running changes nothing and means ``STOP``.
        """
        next_level = self._running.get(trial_id)
        if next_level is None:
            return STOP
        if resource < self.max_t:
            if resource < next_level:
                return CONTINUE  # as below, which takes longer; so it is with most reports
            rung = self.ladder.record_highest(trial_id, resource, value)
            if rung is None or rung.num_better(value) / len(rung) <= 1 / self.reduction_factor:
                self._running[trial_id] = self.ladder.next_level(trial_id, resource)
                return CONTINUE
        self.end(trial_id)
        return STOP

    def promote(self) -> tuple[int, float] | None:
        """No trial is ever paused, and so none is promoted."""
        return None

    def promote_in_advance(self, hopeless: bool = False) -> tuple[int, float] | None:
        """No trial is ever paused, and so none is promoted."""
        return None

    def stop_resuming(self) -> None:
        """Nothing changes: no trial is ever paused."""

    def end(self, trial_id: int) -> None:
        """Ends a trial for good; what it has recorded stays."""
        self._running.pop(trial_id, None)
