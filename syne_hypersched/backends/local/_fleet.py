"""All trials' processes on this machine, kept in the state that tuner and scheduler asked for.

The fleet acts; what to do next is decided by :func:`~syne_hypersched.backends.shared.reconcile.reconcile`. Orders come
from the tuner's thread, exits from the launcher's; one lock guards all state, and no method waits for a process except
:meth:`Fleet.stop_all`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from syne_tune.backend.trial_status import Status

from syne_hypersched.backends.local import _fleet_log as log
from syne_hypersched.backends.local._checkpoints import Checkpoints
from syne_hypersched.backends.local._copied_fleet import CopiedFleet
from syne_hypersched.backends.local._failures import FailurePolicy, Retry
from syne_hypersched.backends.local._options import ResizeMode
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.local._roster import Roster
from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.events import DECISION, EventLog
from syne_hypersched.backends.shared.levels import Relaunches
from syne_hypersched.backends.shared.pool_changes import release
from syne_hypersched.backends.shared.reconcile import Alter, Drain, Launch, Phase, Withdraw
from syne_hypersched.backends.shared.shares import is_out_of_memory
from syne_hypersched.checkpoints import Beginning, Matched
from syne_hypersched.contract import ST_SIGNAL_TO_REPORT_S
from syne_hypersched.launch import Launcher, LaunchExit, LaunchSpec, identify

#: A trial that waits this long for a device, or does not die this long after SIGKILL, causes a warning.
PATIENCE_S = 30.0


class Fleet(CopiedFleet):
    """See the module.

    Parameters
    ----------
    pool
        The devices.
    events
        Where to write what happens.
    make_launcher
        Makes the launcher, given the two callbacks; called when the first process is to be started.
    make_spec
        Makes the launch of a trial on devices: ``make_spec(processes, devices)``.
    grace_s
        Seconds from SIGTERM to SIGKILL.
    policy
        What to do about launches that fail.
    checkpoints
        What is done about checkpoints.
    resize_mode
        Whether processes may join and leave trials while these train.
    """

    def __init__(
        self,
        pool: DevicePool,
        events: EventLog,
        make_launcher: Callable[..., Launcher],
        make_spec: Callable[[TrialProcesses, tuple[str, ...]], LaunchSpec],
        grace_s: float,
        policy: FailurePolicy,
        checkpoints: Checkpoints,
        resize_mode: ResizeMode = "auto",
    ) -> None:
        super().__init__()
        self.pool = pool
        self.resize_mode, self._has_told = resize_mode, False
        self._checkpoints = checkpoints
        self._events = events
        self._make_launcher = make_launcher
        self._make_spec = make_spec
        self._grace_s = grace_s
        self._policy = policy
        self._trials = Roster()
        self._relaunches = Relaunches()
        self._orders, self._warn_at = 0, 0.0
        self._deadline: tuple[float, float] | None = None
        self._closing = False
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._launcher: Launcher | None = None
        self._by_handle: dict[int, int] = {}

    def tell_launches(self) -> None:
        """Tells the launches that run which entries of a report are the resource level and the metric."""
        with self._lock:
            if self._launcher is not None:
                known = self._checkpoints.publisher
                self._launcher.follow(known.time_attr, known.metric, known.do_minimize)

    def restore(self, trial: TrialProcesses, lost: tuple[str, ...] | None = None) -> None:
        """Takes over a trial of a tuner that has died; ``lost``: devices of a launch whose end was not recorded."""
        with self._step():
            if trial.status == Status.paused:
                self._trials[trial.trial_id] = trial
            if lost is not None:
                reason = "the tuner died"
                self._events.write("exit", trial.trial_id, lost, trial.launch, reason, how="lost", exit_code=None)

    # Orders: recorded, carried out as far as possible at once, and never waited for.

    def start(self, trial: TrialProcesses, num_devices: int, event: str) -> None:
        """The tuner starts or resumes a trial; it is launched as soon as its devices are free.

        Raises
        ------
        ValueError
            There can be no devices for it: as many trials as devices allow are running already.
        """
        with self._step():
            running = sum(other.wants > 0 for other in self._trials.active)
            if (running + 1) * num_devices > len(self.pool):
                raise ValueError(
                    f"n_workers must be at most {len(self.pool) // num_devices} with {len(self.pool)} devices and "
                    f"{num_devices} per trial, but the tuner starts trial {trial.trial_id} while {running} are running"
                )
            self._closing = False
            self._trials[trial.trial_id] = trial
            on = self.shares.wanted(trial.trial_id, trial.resumes_on or num_devices)
            trial.start(trial.failures.fitting(on), self._next_order())
            trial.resumes_on = 0
            trial.clock.expect_launch()
            self._trials.place(trial)
            self._events.write(event, trial.trial_id, reason=log.ordered(trial.wants))
            self._reconcile()

    def wish_devices(self, trial_id: int, num_devices: int) -> None:
        """The scheduler asks for another number of devices.

        Ignored for a trial that is not to run. A number on which the trial has failed is refused.
        """
        with self._step():
            trial, num_devices = self._trials.get(trial_id), self.shares.wanted(trial_id, num_devices)
            if trial is None or trial.wants in (0, num_devices):
                return
            change, limit = f"{trial.wants} -> {num_devices}", trial.failures.max_num_devices
            if limit is not None and num_devices > limit:
                self._record("refuse", trial, f"{change}: it has failed on {limit + 1}", to=num_devices)
                return
            self._record("resize", trial, change, **{"from": trial.wants, "to": num_devices})
            trial.resize(num_devices, self._next_order())
            self._reconcile()

    def halt(self, trial_id: int, status: str, after: dict[str, Any] | None = None) -> None:
        """The tuner pauses or stops a trial.

        Parameters
        ----------
        status
            ``Status.paused`` or ``Status.stopped``.
        after
            The report at which this was decided. The tuner has not looked at later ones: they are kept for a resume.
        """
        with self._step():
            trial = self._trials.get(trial_id)
            if trial is None:
                return  # it has ended for good
            trial.reports.take_back(after)
            self._halt(trial, status, "pause" if status == Status.paused else "stop")
            self._record(trial.drain_reason, trial)
            self._reconcile()

    def note(self, trial_id: int, what: str, reason: str, numbers: Mapping[str, float]) -> None:
        """Records why the scheduler decides something."""
        with self._lock:
            self._record(DECISION, self._trials[trial_id], reason, what=what, numbers=dict(numbers))

    def set_deadline(self, drain_at: float, kill_at: float) -> None:
        """From ``drain_at`` on (monotonic seconds) nothing is launched any more; at ``kill_at`` no process is left."""
        with self._lock:
            self._deadline = (drain_at, kill_at)
            if self._launcher is not None:
                self._launcher.set_deadline(drain_at, kill_at)

    # What the tuner asks.

    def poll(
        self, trial_ids: Collection[int], grown: Collection[int] | None = None
    ) -> tuple[dict[int, str], list[tuple[int, dict[str, Any]]]]:
        """Status of each trial in the tuner's terms, to which a relaunch goes unnoticed, and the new reports.

        A status says that a trial has ended only together with or after its last report. Of logs, those of ``grown``
        are read; None: all.
        """
        found = self._trials.look(grown)
        with self._step():
            if self._fault is not None:
                raise self._fault
            self._look_at_changes()
            self._reconcile()
            self._trials.forget_ended(trial_ids)
            statuses: dict[int, str] = {}
            reports: list[tuple[int, dict[str, Any]]] = []
            for trial_id in trial_ids:
                trial = self._trials.get(trial_id)
                if trial is None:
                    statuses[trial_id] = self._trials.ended[trial_id]
                    continue
                if trial.phase is not Phase.IDLE:
                    if trial_id in found:
                        self._read(trial)
                    if self._policy.stall_timeout_s is not None:
                        self._end_if_stalled(trial)
                statuses[trial_id] = trial.status
                if trial.reports.has_news and trial.status not in (Status.paused, Status.stopped):
                    delivered = self._checkpoints.usable.of(trial_id, trial.reports.deliver())
                    for report in delivered:
                        self.pool.tell(report)
                    reports += [(trial_id, report) for report in delivered]
                    self._checkpoints.hear_delivery(trial, delivered)
                if statuses[trial_id] == Status.completed and self._checkpoints.usable.is_silent(trial_id):
                    statuses[trial_id] = Status.failed  # a tuner ends if a completed trial has not reported
                if trial.wants and trial.phase is Phase.IDLE and self._too_late():
                    # It is never launched again: a tuner that waits for its trials to end must not wait for it.
                    self._halt(trial, Status.stopped, "deadline")
                    statuses[trial_id] = trial.status
            return statuses, reports

    def stop_all(self) -> None:
        """Drains every trial, waits until every process is gone, and ends the launcher."""
        with self._step():
            reason = "deadline" if self._too_late() else "stop"
            self._closing = True
            for trial in self._trials.active:
                self._halt(trial, Status.stopped if trial.status == Status.in_progress else trial.status, reason)
            self._reconcile()
            give_up_at = time.monotonic() + self._grace_s + PATIENCE_S
            while (live := self._trials.active) and self._fault is None:
                if not self._changed.wait(timeout=max(0.0, min(1.0, give_up_at - time.monotonic()))):
                    now = time.monotonic()
                    late = [trial for trial in live if now - trial.clock.signal_time > self._grace_s + 2]
                    log.warn_of_survivors(late, now)
                if time.monotonic() >= give_up_at:
                    break
            launcher, self._launcher = self._launcher, None
        if launcher is not None:
            launcher.close(wait=not live)  # what does not die has been warned of

    # Acting.

    def _next_order(self) -> int:
        self._orders += 1
        return self._orders

    def _halt(self, trial: TrialProcesses, status: str, reason: str) -> None:
        trial.halt(status, reason, self._next_order())
        self._trials.place(trial)

    def _reconcile(self) -> None:
        for action in () if self._is_as_wanted() else self._plan():
            trial = self._trials[action.trial_id]
            if isinstance(action, Drain):
                self._drain(trial)
            elif isinstance(action, Withdraw):
                self._withdraw(trial)
            elif isinstance(action, Alter):
                if action.num_devices < len(self.pool.held_by(trial.trial_id)) or not self._too_late():
                    self._alter(trial, action.num_devices)
            elif self._may_launch(trial, action):
                self._launch(trial, action)
        self._warn_of_waiting()

    def _may_launch(self, trial: TrialProcesses, action: Launch) -> bool:
        if self._too_late() or time.monotonic() < trial.clock.launch_at:
            return False
        has_room = self._checkpoints.admits(trial)
        return has_room and self.shares.has_memory(trial.trial_id, action.nodes)

    def _too_late(self) -> bool:
        return self._closing or (self._deadline is not None and time.monotonic() >= self._deadline[0])

    def _launch(self, trial: TrialProcesses, action: Launch) -> None:
        devices = self.pool.acquire(trial.trial_id, action.num_devices, action.nodes)
        trial.begin_launch(action.num_devices, self._num_nodes(trial.trial_id))
        spec = replace(self._make_spec(trial, devices), checkpoints=self._checkpoints.spec(trial))
        trial.waits_for_server = not self._get_launcher().is_ready
        handle = self._launch_crew(trial, spec, devices)
        trial.take_handle(handle)
        self._by_handle[handle] = trial.trial_id

    def _get_launcher(self) -> Launcher:
        if self._launcher is None:
            self._launcher = self._make_launcher(
                on_launched=self._on_launched, on_exit=self._on_exit, on_checkpoint=self._on_checkpoint,
                on_left=self._on_left,
            )  # fmt: skip
            if self._deadline is not None:
                self._launcher.set_deadline(*self._deadline)
        return self._launcher

    def _read(self, trial: TrialProcesses, to_the_end: bool = False) -> None:
        for report in trial.read(self.time_attr, to_the_end):
            if report.beginning is not None:
                log.tell_beginning(trial, report.beginning, self._relaunches, self._record)
            if report.is_new and ST_SIGNAL_TO_REPORT_S in report.values:
                self._record("first_report", trial, signal_to_report_s=report.values[ST_SIGNAL_TO_REPORT_S])

    # What the launcher tells, in its own thread.

    def _on_launched(self, handle: int, pids: list[int], moment: float) -> None:
        with self._told():
            trial = self._trials[self._by_handle[handle]]
            if handle != trial.handle:
                self._record_prepare(trial, **identify(pids))
                return
            trial.clock.hear()
            if trial.waits_for_server:
                # The import of the preloaded modules happens once; it must not count as the cost of a launch.
                trial.waits_for_server = False
                trial.count_from_now()
            ahead_s = trial.reports.stream.clock_ahead_s
            clock: dict[str, Any] = {"clock_ahead_s": ahead_s} if ahead_s else {}
            self._record("launch", trial, **identify(pids), wait_s=moment - trial.clock.signal_time, **clock)

    def _on_checkpoint(self, handle: int, news: Beginning | Matched) -> None:
        with self._told():
            self._checkpoints.hear(self._trials[self._by_handle[handle]], news)

    def _on_exit(self, handle: int, exit_: LaunchExit, moment: float) -> None:
        with self._lock:
            trial = self._trials[self._by_handle[handle]]
            is_first = handle == trial.handle
        if is_first:
            trial.reports.tail.look(to_the_end=True)
        with self._told():
            ended = self._collect_exit(trial, handle, exit_)
            if ended is None:
                self._reconcile()
                self._changed.notify_all()
                return
            exit_ = ended
            self._forget_crew(trial)
            self._read(trial, to_the_end=True)
            asked = trial.phase is Phase.DRAINING
            reason = trial.drain_reason or ("deadline" if exit_.drained else "")
            how = trial.how_ended(exit_)
            self._record(
                "exit", trial, reason, how=how, exit_code=exit_.exit_code, exit_codes=exit_.exit_codes,
                drain_s=max(0.0, moment - trial.clock.signal_time) if asked else None, **trial.faults(),
                **self._checkpoints.hear_end(trial, exit_.checkpoints),
            )  # fmt: skip
            devices = release(self.pool, trial.trial_id, self._events.write)
            trial.exit()
            # A trial that was paused and is resumed already goes on, even if its script has just ended by itself.
            if trial.wants and how in ("completed", "failed", "stalled") and reason != "pause":
                self._end(trial, exit_, how, len(devices))
            elif trial.wants and not asked:  # the trial goes on from its checkpoint
                trial.clock.expect_launch()
            self._trials.place(trial)
            self._checkpoints.publisher.notice(trial.trial_id)
            self._reconcile()
            self._changed.notify_all()

    def _end(self, trial: TrialProcesses, exit_: LaunchExit, how: str, num_devices: int) -> None:
        if how == "failed" and self.shares.is_shared(num_devices) and is_out_of_memory(trial.last_words(exit_)):
            self._retry_alone(trial, exit_)
            return
        if how != "completed":
            next_ = trial.fail(exit_, num_devices, self._policy, knows_progress=self.time_attr is not None)
            log.tell_failure(trial, exit_, how, next_, self._checkpoints.has_any(trial.trial_id))
            if isinstance(next_, Retry):
                trial.fallback.fail(trial.reports.num_read, exit_.checkpoints, exit_.exit_code)
                self._retry(trial, exit_, next_)
                return
        elif not trial.failures.has_reported:
            # A tuner takes a completed trial without a report for an error, and one that has stopped for none.
            how = Status.stopped if self._checkpoints.copies.explain(trial.trial_id) else Status.failed
            if how == Status.failed:
                log.tell_silence(trial)
        status = {"completed": Status.completed, Status.stopped: Status.stopped}.get(how, Status.failed)
        trial.finish(status, self._next_order())
        event = "fail" if status == Status.failed else "complete"
        self._record(event, trial, exit_code=exit_.exit_code, log=str(trial.failed_log(exit_)))

    def _retry(self, trial: TrialProcesses, exit_: LaunchExit, retry: Retry) -> None:
        trial.clock.expect_launch(retry.backoff_s)
        self._record(
            "retry", trial, retry.reason, exit_code=exit_.exit_code, backoff_s=retry.backoff_s,
            log=str(trial.failed_log(exit_)), **trial.faults(),
        )  # fmt: skip
        limit = trial.failures.max_num_devices
        if limit is not None and trial.wants > limit:
            trial.resize(retry.num_devices, self._next_order())

    def _warn_of_waiting(self) -> None:
        now = time.monotonic()
        if now < self._warn_at or self._too_late() or self._checkpoints.room.is_missing:
            return
        self._warn_at = now + min(1.0, PATIENCE_S)
        late = [trial for trial in self._trials.active if trial.wants and now - trial.clock.signal_time > PATIENCE_S]
        log.warn_of_waiting((trial for trial in late if trial.phase is Phase.IDLE), self.pool, now)
        log.warn_of_slow_start(late, now, self._checkpoints.is_arriving, self._launcher)
