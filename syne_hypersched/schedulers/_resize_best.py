"""Gives free devices to the best trials of any scheduler, once nothing new can start."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from numpy.random import RandomState
from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer.scheduler import SchedulerDecision, TrialScheduler, TrialSuggestion
from syne_tune.optimizer.schedulers.remove_checkpoints import RemoveCheckpointsSchedulerMixin
from syne_tune.tuner_callback import TunerCallback

from syne_hypersched.allocation.allocator import Allocator
from syne_hypersched.allocation.scaling import ScalingName, check_scaling, make_scaling
from syne_hypersched.allocation.timing import TimedReport, TrialTimes
from syne_hypersched.checks import LONGEST_S, integer, one_of, plain_number, positive_integer
from syne_hypersched.contract import (
    ST_ADMISSION_OPEN,
    MeasuredTrial,
    RecordingTrial,
    SituatedTrial,
    devices_present,
    is_elastic,
    is_followed,
    is_publishing,
    metric_names_of,
)
from syne_hypersched.schedulers._arguments import entry_name
from syne_hypersched.schedulers._consistency import agree_on_devices
from syne_hypersched.schedulers._reasons import Reason, resizing
from syne_hypersched.schedulers._reports import Unusable, Usable, read_report
from syne_hypersched.schedulers.base import MultiFidelityScheduler, as_json
from syne_hypersched.schedulers.clock import TuningClock
from syne_hypersched.schedulers.decisions import Decision, DecisionLog
from syne_hypersched.stability import experimental

logger = logging.getLogger(__name__)


@experimental(since="0.1.0")
class ResizeBest(TrialScheduler, RemoveCheckpointsSchedulerMixin):
    """Wraps any scheduler, and gives free devices to its best trials once nothing new can start.

    Example::

        scheduler = ResizeBest(ASHA(space, "val_loss", "epoch", max_t=81, points_to_evaluate=points), max_trials=64)
        Tuner(ElasticLocalBackend("train.py", num_devices=8), scheduler, stop_criterion, n_workers=8).run()

    Which trials start, pause, resume and stop is decided by the scheduler inside: ASHA, PASHA, one of Syne Tune's own
    or yours. As long as it has something to start, every trial holds one device. Once it has nothing more (its searcher
    has no further configuration, or there were ``max_trials``), workers become idle one after the other as trials end.
    From then on a trial that reports may be relaunched from its checkpoint on more devices, the best first, if that
    pays: if the progress on more devices, less the launch, is more than 1.1 times that on the devices that it holds.
    :class:`~syne_hypersched.HyperSched` goes further: it knows when to stop starting trials.

    With a backend whose trials cannot be resized it only passes everything on, and says so once.

    Parameters
    ----------
    scheduler
        The scheduler inside, of a single metric. Not :class:`~syne_hypersched.HyperSched`, which resizes by itself.
    time_attr
        Entry of a report that is the resource level. By default that of ``scheduler``.
    max_t
        Resource at which a trial ends: one that is nearly done is not relaunched any more. By default that of
        ``scheduler``, if it has one.
    num_devices
        Devices that all trials hold together, at least ``n_workers`` of the tuner. By default those of the backend.
    deadline_s
        Seconds after the start of the tuning by which a relaunch must have paid. By default that of the
        :class:`~syne_hypersched.Deadline` that the backend is told of, if there is one.
    max_trials
        Most trials that are started. By default as many as ``scheduler`` suggests; random search never ends.
    policy
        ``"uniform"``: devices go round robin, best first. ``"top_job"``: the best trial gets as many as it can use,
        then the next one.
    scaling
        Speed-up of a trial by number of devices: the name of a published table such as ``"resnet50"``, ``"linear"``,
        ``"none"``, a table that contains 1, or a callable. By default it is learnt from the epoch times reported.
    recharge_period
        A trial grows only after more reports than this since it was last started, resumed or resized, at least 0.
    clock
        Gives the seconds since the start. By default a simulated backend's time where reports carry
        ``st_tuner_time``, else wall time since the first call of :meth:`suggest`.

    Attributes
    ----------
    scheduler
        The scheduler inside; its other attributes can be read from this object as well.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; the message names it.
    """

    def __init__(
        self,
        scheduler: TrialScheduler,
        *,
        time_attr: str | None = None,
        max_t: float | None = None,
        num_devices: int | None = None,
        deadline_s: float | None = None,
        max_trials: int | None = None,
        policy: Literal["uniform", "top_job"] = "uniform",
        scaling: ScalingName | Mapping[int, float] | Callable[[int], float] | None = None,
        recharge_period: int = 1,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.scheduler = scheduler
        if not isinstance(scheduler, TrialScheduler):
            raise TypeError(f"scheduler must be a scheduler of Syne Tune, but got {scheduler!r}")
        if hasattr(scheduler, "allocation"):
            raise TypeError(f"scheduler must be one that resizes no trials, but got a {type(scheduler).__name__}")
        metrics = metric_names_of(scheduler)
        if len(metrics) != 1 or not isinstance(scheduler.metric_mode(), str):
            raise ValueError(f"scheduler must have a single metric, but got one with {metrics!r}")
        super().__init__(random_seed=scheduler.random_seed)
        self._metric, self._do_minimize = metrics[0], scheduler.metric_mode() == "min"
        self.time_attr = entry_name(
            "time_attr", getattr(scheduler, "time_attr", None) if time_attr is None else time_attr
        )
        max_t = getattr(scheduler, "max_t", None) if max_t is None else max_t
        rule = "a finite number greater than 0"
        self.max_t = None if max_t is None else plain_number("max_t", max_t, rule, above=0)
        self.num_devices = None if num_devices is None else positive_integer("num_devices", num_devices)
        self.deadline_s = None if deadline_s is None else plain_number("deadline_s", deadline_s, rule, above=0)
        self.max_trials = None if max_trials is None else positive_integer("max_trials", max_trials)
        self.policy = one_of("policy", policy, ("uniform", "top_job"))
        self.recharge_period = integer("recharge_period", recharge_period, at_least=0)
        check_scaling(scaling)
        self.scaling: Any = scaling
        self._clock = TuningClock(clock)
        self._times = TrialTimes()
        self._decisions = DecisionLog()
        #: None until the first trial has told the backend's devices, and if trials cannot be resized.
        self._allocator: Allocator | None = None
        self._has_agreed = False
        self._num_started = 0
        #: Whether the tuner was told that there is nothing more to start or to resume.
        self._exhausted = False
        #: Best value so far of every trial that runs or may be resumed, and of all trials.
        self._best: dict[int, float] = {}
        self._incumbent = math.inf
        #: Live trials that have not reported since this object was loaded from a file.
        self._unheard: dict[int, None] = {}
        #: The last report of each trial that could be used.
        self._last: dict[int, dict[str, Any]] = {}
        self._has_left_out = False

    @property
    def allocation(self) -> dict[int, int]:
        """Devices that each live trial holds, or has been asked to go on with; empty if trials cannot be resized."""
        return {} if self._allocator is None else self._allocator.allocation

    @property
    def decisions(self) -> list[Decision]:
        """The last 10,000 resizes, oldest first."""
        return self._decisions.as_list()

    def suggest(self) -> TrialSuggestion | None:
        """What the scheduler inside suggests; None, for good, once it has nothing more."""
        self._clock.start()
        if self._exhausted:
            return None
        is_full = self.max_trials is not None and self._num_started >= self.max_trials
        if is_full and isinstance(self.scheduler, MultiFidelityScheduler):
            self.scheduler.stop_starting()
        suggestion: TrialSuggestion | None = self.scheduler.suggest()
        if suggestion is None or (is_full and suggestion.spawn_new_trial_id):
            self._exhausted = True
            return None
        if not suggestion.spawn_new_trial_id:
            self._begin(suggestion.checkpoint_trial_id)
        return suggestion

    def on_trial_add(self, trial: Trial) -> None:
        """Takes in a new trial, which holds one device.

        Raises
        ------
        ValueError
            All devices are held by other trials, or the backend starts trials on more than one device.
        """
        if is_elastic(trial) and trial.num_devices != 1:
            raise ValueError(
                "ResizeBest starts every trial on 1 device and grows it later, so the backend must be made with "
                f"num_devices_per_trial=1, but trial {trial.trial_id} was started on {trial.num_devices}"
            )
        self._agree(trial)
        if not isinstance(self.scheduler, MultiFidelityScheduler):
            if is_followed(trial):
                trial.follow(self.time_attr)
            if isinstance(trial, MeasuredTrial):
                trial.measure(self._metric, self._do_minimize)
        self._num_started += 1
        self._begin(trial.trial_id)
        self.scheduler.on_trial_add(trial=trial)

    @property
    def has_trials(self) -> bool:
        """Whether trials were added: a scheduler is for one tuning."""
        return self._num_started > 0 or getattr(self.scheduler, "has_trials", False)

    def on_trial_result(self, trial: Trial, result: dict[str, Any]) -> str:
        """What the scheduler inside decides; a trial that goes on may do so on another number of devices."""
        if self._clock.observe(result):
            for trial_id in self.allocation:  # Everything before the first report of a simulation happened at time 0.
                self._times.start(trial_id, 0.0)
            self._decisions.restart()
        report = read_report(result, self._metric, self.time_attr, self._do_minimize)
        if not isinstance(self.scheduler, MultiFidelityScheduler):
            if isinstance(report, Unusable):
                self._leave_out(trial.trial_id, result, report)
                return str(SchedulerDecision.CONTINUE)
            self._last[trial.trial_id] = result
        decision = str(self.scheduler.on_trial_result(trial=trial, result=result))
        result[ST_ADMISSION_OPEN] = not self._exhausted
        if self._allocator is None or trial.trial_id not in self._allocator or not isinstance(report, Usable):
            return decision
        now_s = self._clock.now_s()
        self._allocator.set_present(devices_present(result, self._allocator.num_devices))
        self._unheard.pop(trial.trial_id, None)
        self._times.report(trial.trial_id, TimedReport.from_result(result, report.resource, now_s), now_s)
        self._best[trial.trial_id] = min(report.value, self._best.get(trial.trial_id, math.inf))
        self._allocator.report(trial.trial_id, self._best[trial.trial_id], report.resource)
        if report.value < self._incumbent:
            self._incumbent = report.value
            if not isinstance(self.scheduler, MultiFidelityScheduler) and is_publishing(trial):
                trial.publish(result)
        if decision != SchedulerDecision.CONTINUE:
            self._end(trial.trial_id, resumable=decision == SchedulerDecision.PAUSE)
        elif self._exhausted:
            self._resize(self._allocator, trial, report.resource, now_s)
        return decision

    def on_trial_error(self, trial: Trial) -> None:
        """A trial has failed."""
        self._end(trial.trial_id, resumable=False)
        self.scheduler.on_trial_error(trial)

    def on_trial_complete(self, trial: Trial, result: dict[str, Any]) -> None:
        """A trial has ended by itself; a scheduler that told its script to end there may resume it."""
        self._end(trial.trial_id, resumable=True)
        if isinstance(self.scheduler, MultiFidelityScheduler):
            self.scheduler.on_trial_complete(trial, result)
        elif trial.trial_id in self._last:
            self.scheduler.on_trial_complete(trial, self._last.pop(trial.trial_id))
        else:
            self.scheduler.on_trial_error(trial)  # it has reported nothing that this scheduler could use

    def _leave_out(self, trial_id: int, result: dict[str, Any], why: Unusable) -> None:
        """Keeps a report from a scheduler that would raise an error."""
        result[ST_ADMISSION_OPEN] = not self._exhausted
        if not self._has_left_out:
            self._has_left_out = True
            key = self._metric if why.argument == "metric" else self.time_attr
            logger.warning(
                "trial %d has reported %r as something that is %s, where the scheduler needs a number: the report is "
                "left out, and so are others like it", trial_id, key, why.kind,
            )  # fmt: skip

    def on_trial_remove(self, trial: Trial) -> None:
        """A trial was paused or stopped."""
        self._end(trial.trial_id, resumable=True)
        self.scheduler.on_trial_remove(trial)

    def callback_for_checkpoint_removal(self, stop_criterion: Callable[..., bool]) -> TunerCallback | None:
        """That of the scheduler inside, if it has one."""
        if not isinstance(self.scheduler, RemoveCheckpointsSchedulerMixin):
            return None
        return self.scheduler.callback_for_checkpoint_removal(stop_criterion)

    def metric_names(self) -> list[str]:
        """The metric, as a list of one."""
        return [self._metric]

    def metric_mode(self) -> str:
        """``"min"`` or ``"max"``."""
        return "min" if self._do_minimize else "max"

    def metadata(self) -> dict[str, Any]:
        """That of the scheduler inside, whose name and arguments are among the arguments, as values of JSON."""
        inside: dict[str, Any] = self.scheduler.metadata()
        names = ("time_attr", "max_t", "num_devices", "deadline_s", "max_trials", "policy", "scaling")
        own = {name: as_json(getattr(self, name)) for name in (*names, "recharge_period")}
        own["scheduler"] = {name: as_json(inside.get(name)) for name in ("scheduler_name", "scheduler_kwargs")}
        return inside | {"scheduler_name": type(self).__name__, "scheduler_kwargs": own}

    def _agree(self, trial: Trial) -> None:
        """Takes open settings from the backend when the first trial is added."""
        if self._has_agreed:
            return
        self._has_agreed = True
        if not is_elastic(trial):
            logger.warning("trials of this backend cannot be resized: each stays on the devices it was started on")
            return
        num_devices = agree_on_devices(trial, self.num_devices)
        if self.deadline_s is None and isinstance(trial, SituatedTrial):
            ends_s = trial.deadline_s
            self.deadline_s = None if ends_s is None or math.isinf(ends_s) else ends_s
        scaling = make_scaling(self.scaling, num_devices, learnt=self._times.learnt)
        if callable(self.scaling):  # It may not survive dill.
            self.scaling = {n: scaling.speed_up(n) for n in range(1, num_devices + 1)}
        self.num_devices = num_devices
        self._allocator = Allocator(num_devices, self.policy, scaling, None, self.recharge_period, RandomState(0))

    def _begin(self, trial_id: int) -> None:
        if self._allocator is None:
            return
        if self._allocator.num_free < 1:
            # A tuner that is loaded and run again has forgotten the trials that ran.
            for forgotten in list(self._unheard):
                self._end(forgotten, resumable=False)
        self._allocator.begin(trial_id)
        self._times.start(trial_id, self._clock.now_s())

    def _end(self, trial_id: int, resumable: bool) -> None:
        if self._allocator is None:
            return
        self._allocator.end(trial_id)
        self._times.end(trial_id, self._clock.now_s(), resumable)
        self._unheard.pop(trial_id, None)
        if not resumable:
            self._best.pop(trial_id, None)

    def _resize(self, allocator: Allocator, trial: Trial, resource: float, now_s: float) -> None:
        trial_id = trial.trial_id
        if (most := getattr(trial, "max_num_devices", None)) is not None:
            allocator.limit(trial_id, trial.num_devices, most)
        held, launch_cost_s = allocator.held(trial_id), self._times.resize_cost_s
        left_s = self._training_left_s(trial_id, held, resource, now_s)
        num_devices = allocator.resize(trial_id, left_s, launch_cost_s)
        if num_devices is None:
            return
        rank, speed_up = allocator.rank(trial_id), allocator.speed_up(trial_id)
        reason = resizing((held, num_devices), rank, len(allocator), speed_up, left_s, launch_cost_s)
        self._tell(trial, num_devices, reason, now_s)
        trial.resize(num_devices)

    def _tell(self, trial: Trial, num_devices: int, reason: Reason, now_s: float) -> None:
        self._decisions.add(now_s, "resize", trial.trial_id, num_devices, reason)
        self._decisions.take_untold()
        if isinstance(trial, RecordingTrial):
            trial.note("resize", reason.text, reason.numbers)

    def _training_left_s(self, trial_id: int, held: int, resource: float, now_s: float) -> float:
        """Seconds until the deadline, or until the trial would end on the devices that it holds."""
        left_s = LONGEST_S if self.deadline_s is None else self.deadline_s - now_s
        epoch_time_s = self._times.learnt.epoch_time_s(trial_id, held)
        if self.max_t is None or epoch_time_s is None:
            return left_s
        return min(left_s, max(self.max_t - resource, 0.0) * epoch_time_s)

    def __getattr__(self, name: str) -> Any:
        # What this object does not have is asked of the scheduler inside, but not before it is there.
        if name.startswith("__") or "scheduler" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.scheduler, name)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._unheard = dict.fromkeys(self.allocation)
