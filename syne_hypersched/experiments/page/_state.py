"""The state of a run as a page shows it, brought up to date with each report and each event."""

from __future__ import annotations

import bisect
import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from syne_hypersched.backends.shared.events import DECISION, DEVICE_CHANGES
from syne_hypersched.experiments._nodes import Attendance
from syne_hypersched.experiments._run import Report, RunGoal
from syne_hypersched.experiments._timeline import Holding
from syne_hypersched.experiments._trials import DEADLINE, ENDING, STATUS_OF_DECISION, STATUS_OF_EVENT, launch_costs_s
from syne_hypersched.experiments.page._rungs import rung_levels
from syne_hypersched.experiments.page._views import LaunchView, TrialView, finite, seconds
from syne_hypersched.records.events import Event, describe_decision

#: The clocks of workers and tuner are compared again when they have moved apart by this much.
_CLOCK_STEP_S = 0.5


@dataclass
class TrialFailure:
    """The last failure of a trial."""

    trial_id: int
    time_s: float
    launch: int | None
    exit_code: Any
    log: str | None = None
    """Path of the log, as the event has it."""

    is_final: bool = False
    """Whether the trial was given up; otherwise it was started again."""

    count: int = 0
    lines: list[str] | None = None
    """The last lines of the log; None: not read yet."""


@dataclass
class PageState:
    """Everything that a page shows, without reading any file.

    Each change of a trial or a launch gets the next number, so that a page can be sent only what is newer.
    """

    goal: RunGoal
    seq: int = 0
    trials: dict[int, TrialView] = field(default_factory=dict)
    launches: dict[tuple[int, int, int], LaunchView] = field(default_factory=dict)
    """By trial, index of the launch, and part of it."""

    last_part: dict[tuple[int, int], LaunchView] = field(default_factory=dict)
    """The last part of each launch."""

    decisions: list[tuple[int, list[Any]]] = field(default_factory=list)
    """Number of the change, and time, what, trial, reason and numbers of each decision."""

    failures: dict[int, TrialFailure] = field(default_factory=dict)
    waiting: dict[int, tuple[float, str]] = field(default_factory=dict)
    """Trials that wait for devices or room: since when, and for what."""

    devices: dict[str, int] = field(default_factory=dict)
    """Index of each device, in the order in which they became known."""

    attendance: Attendance = field(default_factory=Attendance)
    """When which devices were there."""

    is_simulated: bool = False
    last_reason: str = ""
    deadline_s: float | None = None
    admission_closed: tuple[float, str] | None = None
    """When admission was closed, and why."""

    num_retries: int = 0
    num_resizes: int = 0
    num_reports: int = 0
    incumbent: tuple[float, int, float, float] | None = None
    """The best metric, its trial, level and time."""

    history: list[tuple[float, float]] = field(default_factory=list)
    """Time and metric whenever there was a better one."""

    last_s: float = 0.0
    """Time of the last thing that happened."""

    last_timestamp: float | None = None
    """The same by the wall clock, as far as an event or a report says so."""

    rungs: dict[float, dict[int, float | None]] = field(default_factory=dict)
    """The metric of each trial that has reached a level at which the scheduler decides."""

    live: set[tuple[int, int]] = field(default_factory=set)
    """Launches that have not ended."""

    without_config: set[int] = field(default_factory=set)
    """Trials whose configuration is not known."""

    names: list[str] = field(default_factory=list)
    """Names of the hyperparameters, in the order in which they became known."""

    hosts: dict[int, tuple[str, str, list[int]]] = field(default_factory=dict)
    """Machine, its boot and the processes of the last launch of each trial that holds devices."""

    _rungs_are_told: bool = False
    """Whether the rungs are those that decisions name; before that they are those of the published rules."""

    _reports: list[Report] = field(default_factory=list)
    _clock: list[tuple[float, float]] = field(default_factory=list)
    #: How far the clock of the machine of each launch is ahead of the tuner's (s).
    _ahead_s: dict[tuple[int, int], float] = field(default_factory=dict)
    """From which timestamp on, timestamps are by how much greater than the seconds of the run."""

    def __post_init__(self) -> None:
        options = self.goal.metadata.get("scheduler_kwargs")
        self._set_deadline(options.get("deadline_s") if isinstance(options, dict) else None)
        for level in rung_levels(self.goal.metadata):
            self.rungs[level] = {}

    def set_config(self, trial_id: int, config: dict[str, Any]) -> None:
        """Sets the configuration of a trial."""
        trial = self._trial(trial_id)
        if not trial.config and config:
            trial.config = dict(config)
            self.without_config.discard(trial_id)
            self.names += [name for name in config if name not in self.names]

    def add_report(self, report: Report) -> None:
        """Adds a report of a trial."""
        trial = self._trial(report.trial_id)
        time_s = self._time_s(report)
        trial.add(report, time_s, self.goal.do_minimize)
        if not self.launches and report.decision:
            trial.status = STATUS_OF_DECISION.get(report.decision, trial.status)
        if report.num_devices is not None and not self.launches:
            trial.num_devices = report.num_devices
            trial.max_devices = max(trial.max_devices or 0, report.num_devices)
        self.num_reports += 1
        self._reports.append(report)
        self._happened(time_s, self.stamp(report.trial_id, report.worker_timestamp, report.launch))
        value = finite(report.value)
        if value is not None and self._is_better(value):
            self.incumbent = (value, report.trial_id, report.resource, time_s)
            self.history.append((time_s, value))
        for level in self.rungs:
            self._record(level, report)
        if report.admission_open is False and self.admission_closed is None:
            self.admission_closed = (report.time_s, "")
        self._begin_training(report, time_s)

    def add_event(self, event: Event) -> None:
        """Adds an event of a trial's processes or of the whole run."""
        timestamp = event.details.get("timestamp")
        if isinstance(timestamp, (int, float)):
            offset_s = timestamp - event.time_s
            if not self._clock or abs(offset_s - self._clock[-1][1]) > _CLOCK_STEP_S:
                self._clock.append((timestamp, offset_s))
        self._happened(event.time_s, timestamp)
        if event.event in ("setup", "deadline"):
            self._set_up(event)
        if event.event == DECISION:
            self._decide(event)
        if event.trial_id is None:
            self.attendance.add(event)
            for device in event.devices:
                self.device_index(device)
            self._next()
            return
        if event.event in STATUS_OF_EVENT:
            self._trial(event.trial_id).status = STATUS_OF_EVENT[event.event]
        handle = _HANDLERS.get(event.event)
        if handle is not None:
            handle(self, event, event.trial_id)

    def update_costs(self) -> None:
        """Computes again what each launch has cost."""
        held = (
            Holding(view.trial_id, view.launch, tuple(map(str, view.devices)), view.start_s, view.end_s)
            for view in self.launches.values()
        )
        of_trial: dict[int, float] = defaultdict(float)
        for (trial_id, index), cost_s in launch_costs_s(self._reports, held).items():
            of_trial[trial_id] += cost_s
            launch = self.launches.get((trial_id, index, 0))
            if launch is not None and launch.cost_s != cost_s:
                launch.cost_s, launch.seq = cost_s, self._next()
        for trial_id, cost_s in of_trial.items():
            if trial_id in self.trials and self.trials[trial_id].cost_s != cost_s:
                self._trial(trial_id).cost_s = cost_s

    def device_index(self, name: str) -> int:
        """Index of a device, which may be a new one."""
        return self.devices.setdefault(name, len(self.devices))

    def _set_up(self, event: Event) -> None:
        for device in event.devices:
            self.device_index(device)
        self.is_simulated = self.is_simulated or event.details.get("mode") == "simulated"
        self._set_deadline(event.details.get("deadline_s"))

    def _set_deadline(self, deadline_s: object) -> None:
        if isinstance(deadline_s, (int, float)) and math.isfinite(deadline_s):
            self.deadline_s = float(deadline_s)

    def _decide(self, event: Event) -> None:
        what = str(event.details.get("what", ""))
        numbers = event.details.get("numbers") or {}
        trial_id = None if what == "close" else event.trial_id
        line = [round(event.time_s, 3), what, trial_id, event.reason, dict(numbers)]
        self.decisions.append((self._next(), line))
        self._learn_rung(numbers.get("rung"))
        if what == "close" and (self.admission_closed is None or not self.admission_closed[1]):
            self.admission_closed = (event.time_s, event.reason)
        launch = self.last_part.get((event.trial_id or 0, -1 if event.launch is None else event.launch))
        if launch is not None and trial_id is not None:
            launch.why, launch.seq = describe_decision(event), self._next()

    def _learn_rung(self, level: object) -> None:
        """A decision has named a rung: a strategy may have others than the published rules."""
        if not isinstance(level, (int, float)) or (self._rungs_are_told and level in self.rungs):
            return
        if not self._rungs_are_told:
            self.rungs.clear()
            self._rungs_are_told = True
        self.rungs[level] = {}
        self.rungs = dict(sorted(self.rungs.items()))
        for report in self._reports:
            self._record(level, report)

    def _record(self, level: float, report: Report) -> None:
        if report.resource >= level:
            self.rungs[level].setdefault(report.trial_id, finite(report.value))

    def _launch(self, event: Event, trial_id: int) -> None:
        wait_s, index = max(0.0, seconds(event.details.get("wait_s"))), event.launch or 0
        devices = [self.device_index(device) for device in event.devices]
        self._begin_part(LaunchView(trial_id, index, devices, event.time_s, wait_s=wait_s))
        self._ahead_s[trial_id, index] = seconds(event.details.get("clock_ahead_s"))
        self.live.add((trial_id, index))
        self.waiting.pop(trial_id, None)
        trial = self._trial(trial_id)
        trial.num_launches += 1
        trial.num_devices = len(event.devices)
        trial.max_devices = max(trial.max_devices or 0, len(event.devices))
        pids = event.details.get("pids")
        if isinstance(pids, list):
            self.hosts[trial_id] = (str(event.details.get("host")), str(event.details.get("boot_id")), pids)

    def _begin_part(self, launch: LaunchView) -> None:
        launch.seq = self._next()
        self.launches[launch.trial_id, launch.launch, launch.part] = launch
        self.last_part[launch.trial_id, launch.launch] = launch

    def _change_devices(self, event: Event, trial_id: int) -> None:
        """A trial holds other devices, and trains on meanwhile."""
        self.num_resizes += event.event in ("joined", "left")
        launch = self.last_part.get((trial_id, event.launch or 0))
        devices = [self.device_index(device) for device in event.devices]
        if launch is None or launch.end_s is not None or set(devices) == set(launch.devices):
            return
        launch.end_s, launch.how, launch.seq = event.time_s, "changed", self._next()
        launch.reason = f"{event.event}: {event.reason}" if event.reason else event.event
        trains_s = None if launch.train_s is None else event.time_s
        index, part = launch.launch, launch.part + 1
        self._begin_part(LaunchView(trial_id, index, devices, event.time_s, train_s=trains_s, part=part))
        trial = self._trial(trial_id)
        trial.num_devices, trial.max_devices = len(devices), max(trial.max_devices or 0, len(devices))

    def _drain(self, event: Event, trial_id: int) -> None:
        self.num_resizes += event.reason == "resize"
        launch = self.last_part.get((trial_id, event.launch or 0))
        if launch is not None:
            launch.drain_s, launch.reason, launch.seq = event.time_s, event.reason, self._next()

    def _exit(self, event: Event, trial_id: int) -> None:
        self.hosts.pop(trial_id, None)
        self.live.discard((trial_id, event.launch or 0))
        how = str(event.details.get("how", ""))
        launch = self.last_part.get((trial_id, event.launch or 0))
        if launch is not None:
            launch.end_s, launch.how, launch.seq = event.time_s, how, self._next()
            launch.reason = event.reason or launch.reason
        trial = self._trial(trial_id)
        if event.reason == DEADLINE:
            trial.status = DEADLINE
        if event.reason in ENDING:
            self.last_reason = event.reason
        if event.reason == "resize":
            self.waiting[trial_id] = (event.time_s, "its new devices")
        if how in ("failed", "stalled"):
            self._fail(event, trial_id)

    def _fail(self, event: Event, trial_id: int) -> None:
        failure = self.failures.get(trial_id)
        if failure is None:
            failure = self.failures[trial_id] = TrialFailure(trial_id, event.time_s, event.launch, None)
        if event.event == "exit":
            failure.count += 1
            failure.time_s, failure.launch = event.time_s, event.launch
        failure.exit_code = event.details.get("exit_code", failure.exit_code)
        failure.lines = None
        failure.is_final = event.event == "fail"
        log = event.details.get("log")
        if isinstance(log, str):
            failure.log = log
        self._trial(trial_id)
        if event.event == "fail":
            self._end(event, trial_id)

    def _retry(self, event: Event, trial_id: int) -> None:
        self.num_retries += 1
        self.waiting[trial_id] = (event.time_s, "another try")
        self._fail(event, trial_id)

    def _wait(self, event: Event, trial_id: int) -> None:
        what = {"start": "devices", "resume": "devices"}.get(event.event, event.reason or "room")
        self.waiting[trial_id] = (event.time_s, what)

    def _end(self, event: Event, trial_id: int) -> None:
        self.waiting.pop(trial_id, None)

    def _begin_training(self, report: Report, time_s: float) -> None:
        launch = self.last_part.get((report.trial_id, -1 if report.launch is None else report.launch))
        if launch is None or launch.train_s is not None:
            return
        trained_s = report.worker_time_s
        if trained_s is not None:
            before = [other for other in self.trials[report.trial_id].points[:-1] if other[1] is not None]
            trained_s -= (before[-1][1] or 0.0) if before else 0.0
        begun_s = time_s if trained_s is None else time_s - max(0.0, trained_s)
        launch.train_s, launch.seq = max(launch.start_s, min(begun_s, launch.end_s or math.inf)), self._next()

    def _trial(self, trial_id: int) -> TrialView:
        trial = self.trials.get(trial_id)
        if trial is None:
            trial = self.trials[trial_id] = TrialView(trial_id)
            self.without_config.add(trial_id)
        trial.seq = self._next()
        return trial

    def _is_better(self, value: float) -> bool:
        if self.incumbent is None:
            return True
        return value < self.incumbent[0] if self.goal.do_minimize else value > self.incumbent[0]

    def _time_s(self, report: Report) -> float:
        """When the trial has reported, in seconds of the run: by its own clock, where that is known."""
        timestamp = self.stamp(report.trial_id, report.worker_timestamp, report.launch)
        if timestamp is None or not self._clock:
            return report.time_s
        index = max(0, bisect.bisect([begin for begin, _ in self._clock], timestamp) - 1)
        return max(0.0, timestamp - self._clock[index][1])

    def stamp(self, trial_id: int, timestamp: Any, launch: int | None = None) -> float | None:
        """A time stamp of a trial, by the tuner's clock; of its last launch, if none is given. None: there is none."""
        if self.is_simulated or not isinstance(timestamp, (int, float)):
            return None
        index = self._trial(trial_id).num_launches - 1 if launch is None else launch
        return timestamp - self._ahead_s.get((trial_id, index), 0.0)

    def _happened(self, time_s: float, timestamp: float | None) -> None:
        self.last_s = max(self.last_s, time_s)
        if isinstance(timestamp, (int, float)):
            self.last_timestamp = max(self.last_timestamp or 0.0, timestamp)

    def _next(self) -> int:
        self.seq += 1
        return self.seq


_HANDLERS = {
    "launch": PageState._launch,
    "drain": PageState._drain,
    "exit": PageState._exit,
    "fail": PageState._fail,
    "retry": PageState._retry,
    "start": PageState._wait,
    "resume": PageState._wait,
    "wait": PageState._wait,
    **dict.fromkeys(DEVICE_CHANGES, PageState._change_devices),
    "pause": PageState._end,
    "stop": PageState._end,
    "complete": PageState._end,
}
