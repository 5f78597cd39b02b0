"""HyperSched: the best model by a deadline, on trials that change their number of devices while they run."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer.scheduler import SchedulerDecision, TrialSuggestion

from syne_hypersched.allocation.admission import check_exploration
from syne_hypersched.allocation.timing import Report, TrialTimes
from syne_hypersched.checks import integer, truth
from syne_hypersched.contract import ST_ADMISSION_OPEN, is_elastic
from syne_hypersched.schedulers._arguments import finite_number
from syne_hypersched.schedulers._reasons import NO_REASON, Reason, because
from syne_hypersched.schedulers._reports import Usable
from syne_hypersched.schedulers.clock import TuningClock
from syne_hypersched.schedulers.decisions import DecisionLog
from syne_hypersched.schedulers.hypersched._notices import Notices
from syne_hypersched.schedulers.hypersched._pausing import REDUCTION_FACTOR
from syne_hypersched.schedulers.hypersched._planning import PlanningScheduler
from syne_hypersched.schedulers.hypersched._strategies import check_adaptive, check_strategy

logger = logging.getLogger(__name__)


class HyperSched(PlanningScheduler):
    """Maximises the best metric at a deadline, by Liaw et al. (HyperSched, SoCC 2019).

    Trials compete in rungs as in asynchronous successive halving, and a weak one is paused. Once too little time is
    left for a new trial to become the best, admission closes for good, and the devices that paused trials leave are
    given to those still running, which are relaunched from their checkpoints on more devices.

    With ``strategy="adaptive"`` trials are explored on one device each, and the best few share all devices in a last
    stretch. When it begins, how many go on, and whether resizing pays at all follows from what is measured (see
    ``docs/adaptive.md``).

    With ``strategy="published"`` the rules are those of the paper, with the faults of the authors' code mended: a trial
    without a report ranks worst, a paused trial is resumed only if no rung would pause it again at once, the cost of a
    launch is measured as a whole, growing keeps to the allocation grid, no number of devices that slows a trial down is
    used, and there is one clock. Beyond the paper, a trial that reports NaN or an infinity is paused at once and never
    resumed, a report after the deadline stops its trial, the rule for admission does not take a cold start for training
    (a first epoch that nothing can be compared with yet, a first launch that took unusually long), and the last trial
    that runs is not paused when none can be resumed, since the time that is left would bring nothing.

    A searcher may run out of configurations: a grid, a small space, a list of points. Then a free device goes to the
    best paused trial, weak as it is, and a weak trial is paused only for the sake of one that is ahead of it. Where
    there is none for it (more workers than configurations), Syne Tune's tuner asks for no trial to resume from then on.
    Trials then share the devices, and none is paused for being weak until the time is up: until the last stretch
    begins, or admission would have closed.

    A first level of 0 or below, as of a baseline before training, is no unit: the rungs of the adaptive strategy begin
    at twice the first level that is at least one in 2,048 of ``max_t``.

    Parameters
    ----------
    config_space, metric, time_attr, max_t, do_minimize
        As in :class:`~syne_hypersched.schedulers.base.MultiFidelityScheduler`; ``max_t`` stops a trial.
    num_devices
        Devices that all trials hold together, at least ``n_workers`` of the tuner. By default those of the backend,
        which must be one of this package's.
    deadline_s
        Seconds after the start of the tuning. Results that come later count for nothing. By default that of the
        :class:`~syne_hypersched.Deadline` that the backend is told of.
    scaling
        Speed-up of a trial by number of devices, as a table that contains 1 or a callable. By default it is learnt
        from the epoch times reported; ``"goodput"`` then learns it for each trial.
    clock
        Gives the seconds since the start. By default a simulated backend's time where reports carry
        ``st_tuner_time``, else wall time since the first call of :meth:`suggest`.
    policy
        How devices left over are divided once admission is closed: ``"uniform"`` (alike; with the published rules round
        robin, best first), ``"top_job"`` (all to the best trial), ``"none"``, beyond the paper ``"goodput"`` (where
        they bring the most expected progress, see :mod:`~syne_hypersched.allocation.goodput`), and for the published
        rules ``"softmax"`` (in proportion to the exponential of the metric) and ``"random"`` (drawn anew when a trial
        comes or goes).
    allocation_grid
        A trial holds more devices than this only in multiples of it. By default any number. For the published rules
        alone, as all arguments down to ``use_pausing``, and from ``speculation`` to ``fixed_exploration`` but
        ``assume_linear``.
    recharge_period
        A trial grows only after more reports than this since it was last started, resumed or resized.
    use_pausing
        Whether a weak trial is paused, so that it can be resumed while admission is open. Otherwise it is stopped.
    grace_period, reduction_factor
        Level of the lowest rung, and the number of trials of which one is kept at a rung. By default twice the level of
        the very first report (see above), and 3; with ``strategy="published"`` 1 and 4. Neighbouring rungs of the
        adaptive strategy have the ratio 2, those of the published rules the ratio ``reduction_factor``.
    speculation
        Whether a trial is held against the rungs that it has passed at *every* report (retrospective rule), not only
        when it reaches them.
    job_limit
        Whether admission closes as the time left requires; otherwise it closes at the deadline.
    ignore_overhead
        Whether the cost of a launch is taken as 0.
    assume_linear
        Whether scaling is taken as linear.
    fixed_exploration
        Share of the deadline after which admission closes, instead of the admission rule.
    strategy
        ``"adaptive"`` or ``"published"``, see above.
    max_paused
        Most paused trials that may be resumed at a time, see :class:`~syne_hypersched.schedulers.ASHA`. By default ten
        for each device; with ``strategy="published"`` any number, as in the paper.
    searcher, searcher_kwargs, points_to_evaluate, random_seed
        As in :class:`~syne_hypersched.schedulers.base.MultiFidelityScheduler`.

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
        num_devices: int | None = None,
        deadline_s: float | None = None,
        do_minimize: bool = True,
        scaling: Mapping[int, float] | Callable[[int], float] | None = None,
        clock: Callable[[], float] | None = None,
        policy: str = "uniform",
        allocation_grid: int | None = None,
        recharge_period: int = 5,
        use_pausing: bool = True,
        grace_period: float | None = None,
        reduction_factor: float | None = None,
        speculation: bool = True,
        job_limit: bool = True,
        ignore_overhead: bool = False,
        assume_linear: bool = False,
        fixed_exploration: float | None = None,
        strategy: str = "adaptive",
        max_paused: int | None = None,
        searcher: str | object = "random_search",
        searcher_kwargs: dict[str, Any] | None = None,
        points_to_evaluate: Sequence[dict[str, Any]] | None = None,
        random_seed: int | None = None,
    ) -> None:
        check_strategy(strategy)
        self.strategy = strategy
        if reduction_factor is None:
            reduction_factor = 4 if strategy == "published" else REDUCTION_FACTOR
        super().__init__(
            config_space,
            metric,
            time_attr,
            max_t,
            do_minimize,
            searcher=searcher,
            searcher_kwargs=searcher_kwargs,
            points_to_evaluate=points_to_evaluate,
            random_seed=random_seed,
            grace_period=1 if grace_period is None else grace_period,
            reduction_factor=reduction_factor,
            max_paused=max_paused,
        )
        # Any of the two is None until the first trial is added, if it is for the backend to say.
        self.num_devices: Any = None if num_devices is None else integer("num_devices", num_devices, at_least=1)
        self.deadline_s: Any = None if deadline_s is None else finite_number("deadline_s", deadline_s, above=0)
        self.policy = policy
        self.allocation_grid = None if allocation_grid is None else integer("allocation_grid", allocation_grid, 1)
        self.recharge_period = integer("recharge_period", recharge_period, at_least=0)
        self.use_pausing = truth("use_pausing", use_pausing)
        self.speculation = truth("speculation", speculation)
        self.job_limit = truth("job_limit", job_limit)
        self.ignore_overhead = truth("ignore_overhead", ignore_overhead)
        self.assume_linear = truth("assume_linear", assume_linear)
        check_exploration(fixed_exploration)
        if fixed_exploration is not None and not job_limit:
            raise ValueError(f"fixed_exploration must be None with job_limit=False, but got {fixed_exploration!r}")
        self.fixed_exploration = fixed_exploration
        if strategy != "published":
            check_adaptive(self)
        self._clock = TuningClock(clock)
        self._times = TrialTimes()
        self._decisions = DecisionLog()
        self._prepare(scaling, grace_period)
        #: Live trials that have not reported since this object was loaded from a file.
        self._unheard: dict[int, None] = {}
        self._resizable = True
        self._notices = Notices()
        #: Whether the searcher has no further configuration.
        self._all_suggested = False

    def assume_deadline(self, deadline_s: float) -> None:
        """Takes another deadline than that of the constructor, before anything has happened."""
        self.deadline_s = finite_number("deadline_s", deadline_s, above=0)
        if self._unplanned is None:
            self._strategy.set_deadline(self.deadline_s, reopen=False)

    def extend_deadline(self, deadline_s: float) -> None:
        """Goes on until a later deadline, see :class:`~syne_hypersched.contract.ExtendableScheduler`.

        Admission opens again, and the rule that closes it is applied anew. Paused trials that were given up when it was
        closed stay so.

        Raises
        ------
        TypeError, ValueError
            ``deadline_s`` is no number, or not later than the deadline.
        """
        self.deadline_s = finite_number("deadline_s", deadline_s, above=self.deadline_s)
        self._strategy.set_deadline(self.deadline_s, reopen=True)
        self._decisions.reopen()
        self._notices.reopen()

    def suggest(self) -> TrialSuggestion | None:
        """The next trial while admission is open: a paused one that may go on, else a new configuration.

        Where the searcher has no further configuration, it is the best paused trial, weak as it is.

        Returns
        -------
        TrialSuggestion or None
            None closes admission for good: Syne Tune's tuner does not ask again.
        """
        now_s = self._now_s = self._clock.now_s()
        if self._unplanned is not None:  # with the first trial the backend says what there is to plan with
            config = self._new_config()
            return None if config is None else TrialSuggestion.start_suggestion(config)
        self._notices.begin(self._strategy.never_resizes_because())
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
        """Takes notice of a new trial, which holds one device.

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
        if trial_id not in self._strategy:
            # A report that was on its way when the trial was paused: nothing may be recorded for it any more.
            return self._weak_decision
        self._unheard.pop(trial_id, None)
        self._times.report(trial_id, Report.from_result(result, report.resource, now_s), now_s)
        if now_s <= self.deadline_s:
            self._update_incumbent(trial, result, report)
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
        self._note(trial)
        if resize is not None:
            trial.resize(resize)
        return decision

    def _add_to(self, result: dict[str, Any]) -> None:
        """Adds ``st_admission_open``."""
        result[ST_ADMISSION_OPEN] = self.admission_open

    def on_trial_error(self, trial: Trial) -> None:
        """Takes notice that a trial has failed: it is never resumed, and what it has recorded in rungs stays."""
        super().on_trial_error(trial)
        self._end(trial.trial_id, resumable=False)

    def on_trial_complete(self, trial: Trial, result: dict[str, Any]) -> None:
        """Takes notice that a trial has ended by itself."""
        super().on_trial_complete(trial, result)
        self._end(trial.trial_id, resumable=False)

    def on_trial_remove(self, trial: Trial) -> None:
        """Takes notice that a trial is paused or stopped; nothing is left to do where this scheduler decided so."""
        super().on_trial_remove(trial)
        if trial.trial_id in self._strategy:
            self._end(trial.trial_id, resumable=True)

    @property
    def _weak_decision(self) -> str:
        return str(SchedulerDecision.PAUSE if self.use_pausing else SchedulerDecision.STOP)

    def _decide(self, trial_id: int, report: Usable, now_s: float) -> str:
        """Whether the trial goes on; it no longer holds devices if not."""
        value, resource = report
        weak = self._strategy.report(trial_id, resource, value, now_s)
        if resource >= self.max_t or now_s > self.deadline_s:
            decision = str(SchedulerDecision.STOP)
            if resource >= self.max_t:
                weak = because("trained to the end", resource=resource, max_t=self.max_t)
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
        if not self.allocation:
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

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._unheard = dict.fromkeys(self.allocation)
