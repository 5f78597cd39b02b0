"""The part of HyperSched that explains its decisions."""

from __future__ import annotations

import math
from typing import Any

from syne_tune.backend.trial_status import Trial

from syne_hypersched.checks import integer
from syne_hypersched.contract import RecordingTrial
from syne_hypersched.schedulers._reasons import NO_REASON, Reason
from syne_hypersched.schedulers.base import MultiFidelityScheduler
from syne_hypersched.schedulers.clock import TuningClock
from syne_hypersched.schedulers.decisions import Decision, DecisionLog
from syne_hypersched.schedulers.hypersched._explanation import Explanation, last_explained
from syne_hypersched.schedulers.hypersched._strategy import Strategy


class ExplainedScheduler(MultiFidelityScheduler):
    """A scheduler with a strategy, a deadline, and a log of its decisions; a subclass makes these."""

    strategy: str
    #: None until the first trial is added, if it is for the backend to say.
    deadline_s: Any
    _strategy: Strategy
    _clock: TuningClock
    _decisions: DecisionLog
    _now_s: float = 0.0
    """Time of the last report or suggestion."""

    @property
    def admission_open(self) -> bool:
        """Whether new trials may still start."""
        return self._strategy.admission_open

    @property
    def allocation(self) -> dict[int, int]:
        """Devices that each live trial holds, or has been asked to go on with."""
        return self._strategy.allocation

    @property
    def decisions(self) -> list[Decision]:
        """The last 10,000 decisions, oldest first."""
        return self._decisions.as_list()

    def explain(self, num_decisions: int = 20, trial_id: int | None = None) -> Explanation:
        """Why admission was closed, and why trials were resized, paused, stopped or resumed.

        Parameters
        ----------
        num_decisions
            How many of the last decisions to explain, at least 0; some thousands are remembered.
        trial_id
            Explains only decisions about this trial.

        Returns
        -------
        Explanation
            ``print`` it, or take :meth:`~syne_hypersched.schedulers.hypersched._explanation.Explanation.to_dict`.

        Raises
        ------
        TypeError, ValueError
            ``num_decisions`` is not an integer of at least 0.
        """
        count = integer("num_decisions", num_decisions, at_least=0)
        closing = self._decisions.closing
        admission = self._admission() if closing is None else Reason(closing.reason, closing.numbers)
        return Explanation(
            strategy=self.strategy,
            time_s=self._now_s,
            deadline_s=math.inf if self.deadline_s is None else self.deadline_s,
            admission_open=self.admission_open,
            admission_closed_s=None if closing is None else closing.time_s,
            admission=admission,
            allocation=self.allocation,
            decisions=last_explained(self.decisions, count, trial_id),
        )

    def _admission(self) -> Reason:
        """Why admission is open."""
        return self._strategy.admission(self._now_s)

    def _record_reasons(self, trial: Trial) -> None:
        """Has the backend record why what was decided since the last report was decided, if it keeps a record."""
        for decision in self._decisions.take_untold():
            if isinstance(trial, RecordingTrial):
                trial.note(decision.what, decision.reason, decision.numbers)

    def _log(self, what: str, trial_id: int | None, num_devices: int, reason: Reason = NO_REASON) -> None:
        self._decisions.add(self._clock.now_s(), what, trial_id, num_devices, reason)
