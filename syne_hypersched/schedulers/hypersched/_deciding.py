"""The part of HyperSched that passes events to its strategy, and the strategy's decisions to Syne Tune."""

from __future__ import annotations

import logging
import math
from typing import Any

from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer.scheduler import SchedulerDecision, TrialSuggestion

from syne_hypersched._wording import seconds_text
from syne_hypersched.allocation.timing import TimedReport
from syne_hypersched.contract import ST_ADMISSION_OPEN, devices_present, is_elastic
from syne_hypersched.schedulers._reasons import NO_REASON, Reason, because
from syne_hypersched.schedulers._reports import Usable
from syne_hypersched.schedulers.hypersched._notices import Notices
from syne_hypersched.schedulers.hypersched._options import PublishedRules
from syne_hypersched.schedulers.hypersched._planning import PlanningScheduler
from syne_hypersched.schedulers.hypersched._spending import Spending

logger = logging.getLogger(__name__)


class DecidingScheduler(PlanningScheduler):
    """The part of :class:`~syne_hypersched.HyperSched` that Syne Tune's tuner calls."""

    #: Live trials that have not reported since this object was loaded from a file.
    _unheard: dict[int, None]
    #: Whether the backend can resize trials, as far as known.
    _resizable: bool
    _notices: Notices
    _spending: Spending
    #: When the search ends, at the deadline or before; and when it ends since it brings too little, if it does.
    _end_s: float
    _gain_ends_s: float
    #: Whether the searcher has no further configuration.
    _all_suggested: bool

    def suggest(self) -> TrialSuggestion | None:
        """The next trial while admission is open: a paused one that may go on, else a new configuration.

        If the searcher is exhausted, the best paused trial is resumed, even a weak one.

        Returns
        -------
        TrialSuggestion or None
            None closes admission for good: Syne Tune's tuner does not ask again.
        """
        now_s = self._now_s = self._clock.now_s()
        if self._unplanned is not None:  # the backend tells its devices with the first trial
            config = self._new_config()
            return None if config is None else TrialSuggestion.start_suggestion(config)
        self._notices.begin(self._strategy.never_resizes_because())
        self._spend(now_s)
        if self._end_s < self.deadline_s and now_s + (self._times.typical_epoch_time_s or 0.0) >= self._end_s:
            self._strategy.close()  # a trial that starts now would not report before the end
            self._strategy.give_up(self._checkpoints)
            return None
        self._close_if_due(now_s)
        paused = self._strategy.next_paused(now_s)
        if paused is None and self.admission_open:
            config = None if self._all_suggested else self._new_config()
            if config is not None:
                return TrialSuggestion.start_suggestion(config)
            self._all_suggested = True
            paused = self._strategy.next_weak(now_s)
        if paused is not None:
            trial_id, reason = paused
            self._resume(trial_id)
            self._begin(trial_id, "resume", reason)
            return TrialSuggestion.resume_suggestion(trial_id)
        if self.admission_open:
            self._log("close", None, 0, because("the searcher has no further configuration, and no trial is paused"))
        self._strategy.close()
        self._strategy.give_up(self._checkpoints)
        self._notices.nothing_more_starts()
        self._say_what_is_unused()
        return None

    def on_trial_add(self, trial: Trial) -> None:
        """Takes in a new trial, which holds one device.

        Raises
        ------
        ValueError
            All devices are held by other trials, the backend starts trials on more than one device, or it has fewer
            devices than this scheduler.
        """
        if is_elastic(trial) and trial.num_devices != 1:
            raise ValueError(
                "HyperSched starts every trial on 1 device and grows it later, so the backend must be made with "
                f"num_devices_per_trial=1, but trial {trial.trial_id} was started on {trial.num_devices}"
            )
        super().on_trial_add(trial)
        self._agree(trial)
        self._begin(trial.trial_id, "start")

    def _on_report(self, trial: Trial, result: dict[str, Any], report: Usable) -> str:
        """Decides whether a trial goes on, and once admission is closed on how many devices."""
        trial_id = trial.trial_id
        if self._clock.observe(result):
            self._forget_wall_time()
        now_s = self._now_s = self._clock.now_s()
        self._look_at_devices(result, now_s)
        if trial_id not in self._strategy:
            # A report that was on its way when the trial was paused: nothing may be recorded for it any more.
            return self._weak_decision
        self._unheard.pop(trial_id, None)
        self._times.report(trial_id, TimedReport.from_result(result, report.resource, now_s), now_s)
        if now_s <= self.deadline_s and self._update_incumbent(trial, result, report):
            self._spending.improve(report.value)
        self._spend(now_s)
        if self._tells:
            self._tell_searcher(trial, report)
        if not is_elastic(trial):
            self._do_not_resize()
        elif (most := getattr(trial, "max_num_devices", None)) is not None:
            self._strategy.limit(trial_id, trial.num_devices, most)
        self._close_if_due(now_s)
        self._add_to(result)
        decision, resize = self._decide(trial_id, report, now_s), None
        if decision == SchedulerDecision.CONTINUE and self._resizable:
            resize = self._resize(trial_id, now_s)
        self._record_reasons(trial)
        if resize is not None:
            trial.resize(resize)
        return decision

    def _look_at_devices(self, result: dict[str, Any], now_s: float) -> None:
        """Plans with as many devices as a report says that there are now."""
        present = devices_present(result, self.num_devices)
        if present != self._num_present:
            logger.info("%d of %d devices are there now: HyperSched plans with them", present, self.num_devices)
            self._num_present = present
            self._strategy.set_present(present, now_s)

    def _spend(self, now_s: float) -> None:
        """Counts the device-hours, and brings the end forward where the budget or the user's least gain says so."""
        if not self._spending.is_limited:
            return
        self._spending.hold(min(sum(self.allocation.values()), self._num_present), now_s)
        end_s = min(self._end_s, self.deadline_s)
        if self._spending.budget_device_hours is not None:
            end_s = min(self.deadline_s, self._gain_ends_s, self._spending.budget_ends_s(now_s, self._num_present))
        stretch_s = None if math.isfinite(self._gain_ends_s) else self._strategy.stretch_s(now_s)
        full_run_s = self.max_t * (self._times.typical_epoch_time_s or math.inf)
        if stretch_s is not None and self._spending.no_longer_pays(full_run_s):
            self._gain_ends_s = now_s + stretch_s
            end_s = min(end_s, self._gain_ends_s)
            logger.info(
                "A device-hour has improved %s by less than min_gain=%g after %.3g device-hours: HyperSched %s.",
                self.metric, self._spending.min_gain, self._spending.used_device_hours,
                f"begins the last stretch and ends {seconds_text(stretch_s)} s from now" if stretch_s else "ends",
            )  # fmt: skip
        if end_s != self._end_s:
            self._end_s = end_s
            self._strategy.set_deadline(end_s, reopen=False)

    def _ends_before_next_report(self, trial_id: int, now_s: float) -> bool:
        """Whether the end that was brought forward comes before the trial would report again."""
        if self._end_s >= self.deadline_s:
            return False
        epoch_s = self._times.learnt.epoch_time_s(trial_id, self.allocation.get(trial_id, 1)) or 0.0
        return now_s + epoch_s > self._end_s

    def _add_to(self, result: dict[str, Any]) -> None:
        """Adds ``st_admission_open``."""
        result[ST_ADMISSION_OPEN] = self.admission_open

    def on_trial_error(self, trial: Trial) -> None:
        """Ends a trial that has failed: it is never resumed, and its values in the rungs stay."""
        super().on_trial_error(trial)
        self._end(trial.trial_id, resumable=False)

    def on_trial_complete(self, trial: Trial, result: dict[str, Any]) -> None:
        """Ends a trial whose script has ended by itself."""
        super().on_trial_complete(trial, result)
        self._end(trial.trial_id, resumable=False)

    def on_trial_remove(self, trial: Trial) -> None:
        """Ends a trial that was paused or stopped from outside; the scheduler's own decisions are known already."""
        super().on_trial_remove(trial)
        if trial.trial_id in self._strategy:
            self._end(trial.trial_id, resumable=True)

    @property
    def _weak_decision(self) -> str:
        return str(SchedulerDecision.PAUSE if self._pauses else SchedulerDecision.STOP)

    def _decide(self, trial_id: int, report: Usable, now_s: float) -> str:
        """Whether the trial goes on; it no longer holds devices if not."""
        value, resource = report
        weak = self._strategy.report(trial_id, resource, value, now_s)
        is_spent = self._ends_before_next_report(trial_id, now_s)
        if resource >= self.max_t or now_s > self.deadline_s or is_spent:
            decision = str(SchedulerDecision.STOP)
            if resource >= self.max_t:
                weak = because("trained to the end", resource=resource, max_t=self.max_t)
            elif is_spent:
                used = self._spending.used_device_hours
                weak = because(f"{used:.3g} device-hours are spent, and more would not pay", used_device_hours=used)
            else:
                weak = because("the deadline has passed", late_s=now_s - self.deadline_s)
        elif weak is not None:
            decision = self._weak_decision
        else:
            return str(SchedulerDecision.CONTINUE)
        paused = decision == SchedulerDecision.PAUSE
        # No checkpoint leads back from NaN: such a trial is paused, but never resumed.
        if paused and value < math.inf:
            self._strategy.pause(trial_id)
        self._end(trial_id, paused, resource, value)
        if value == math.inf:
            self._checkpoints.end(trial_id)
        self._log("pause" if paused else "stop", trial_id, 0, weak)
        return decision

    def _begin(self, trial_id: int, what: str, reason: Reason = NO_REASON) -> None:
        if self._strategy.num_free < 1:
            # A tuner that is loaded and run again has forgotten the trials that ran.
            for forgotten in list(self._unheard):
                self._end(forgotten, resumable=False)
        self._strategy.begin(trial_id)
        self._times.start(trial_id, self._clock.now_s())
        self._log(what, trial_id, 1, reason)

    def _end(self, trial_id: int, resumable: bool, resource: float = 0.0, value: float = math.inf) -> None:
        self._strategy.end(trial_id, resumable)
        self._unheard.pop(trial_id, None)
        self._times.end(trial_id, self._clock.now_s(), resumable)
        self._checkpoints.leave(trial_id, resumable, resource, value)
        if (surplus := self._checkpoints.surplus()) is not None:
            self._strategy.end(surplus, resumable=False)
            self._checkpoints.end(surplus)
        self._strategy.give_up(self._checkpoints)
        self._say_what_is_unused()

    def _say_what_is_unused(self) -> None:
        """Says once how much of the time is left when nothing runs and nothing starts any more."""
        if not self.allocation and self._end_s >= self.deadline_s:  # else it has ended on purpose
            closing = self._decisions.closing
            self._notices.nothing_runs(
                self._clock.now_s(), self.deadline_s, self.strategy, None if closing is None else closing.reason
            )

    def _close_if_due(self, now_s: float) -> None:
        reason = self._strategy.close_if_due(now_s)
        if reason is not None:
            self._log("close", None, 0, reason)
        self._strategy.give_up(self._checkpoints)

    def _do_not_resize(self) -> None:
        if self._resizable:
            logger.warning("trials of this backend cannot be resized: each stays on the devices it was started on")
            self._resizable = False
            self._strategy.never_resize()

    def _resize(self, trial_id: int, now_s: float) -> int | None:
        """Devices on which the trial is to go on; None if it goes on as it is."""
        resize = self._strategy.resize(trial_id, now_s)
        if resize is None:
            return None
        num_devices, reason = resize
        self._log("resize", trial_id, num_devices, reason)
        return num_devices

    def _forget_wall_time(self) -> None:
        """Puts all that happened before the first report of a simulated backend at time 0."""
        for trial_id in self.allocation:
            self._times.start(trial_id, 0.0)
        self._decisions.restart()
        self._spending.restart()

    @property
    def _pauses(self) -> bool:
        """Whether a weak trial is paused, and not stopped."""
        return not isinstance(self.options, PublishedRules) or self.options.use_pausing

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._unheard = dict.fromkeys(self.allocation)
