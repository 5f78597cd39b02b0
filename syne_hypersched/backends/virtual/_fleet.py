"""All trials in virtual time: a queue of events instead of processes.

The one engine of :class:`~syne_hypersched.ElasticSimulatorBackend` and :func:`~syne_hypersched.simulate`. It accepts
the same requests as the fleet of processes, and decides by the same
:func:`~syne_hypersched.backends.shared.reconcile.reconcile` what to drain and what to launch. Time goes from one event
to the next and depends on nothing but the learning curves, so the same orders give the same events anywhere.

Events at the same time happen in the order in which their trials were launched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from heapq import heappop
from typing import Any

from syne_tune.backend.trial_status import Status

from syne_hypersched._wording import counted
from syne_hypersched.backends.shared import pool_changes
from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.elastic import check_wish
from syne_hypersched.backends.shared.reconcile import (
    RUNNING,
    Alter,
    Drain,
    Launch,
    Phase,
    Withdraw,
    reconcile,
    reconcile_alone,
)
from syne_hypersched.backends.virtual._changing import ChangingVirtualFleet
from syne_hypersched.backends.virtual._fleet_view import record_nothing
from syne_hypersched.backends.virtual._launcher import VirtualLauncher
from syne_hypersched.backends.virtual._outbox import Outbox
from syne_hypersched.backends.virtual._schedule import DeviceSchedule, PoolClock
from syne_hypersched.backends.virtual._trial import CHANGE, COMPLETE, EXIT, REPORT, VirtualTrial
from syne_hypersched.blackboxes import LearningCurve
from syne_hypersched.contract import ST_SIGNAL_TO_REPORT_S, Situation


class VirtualFleet(ChangingVirtualFleet):
    """See the module.

    Parameters
    ----------
    num_devices
        Number of devices.
    curve_of
        The learning curve of a configuration.
    launcher
        Determines how long launches, epochs and drains take.
    elapsed_time_attr
        Entry of a report for the seconds that the trial has trained, as scripts report them.
    devices_over_time
        From which time on how many devices are there, checked; before the first all are.

    Attributes
    ----------
    record
        Writes what happens, as :meth:`~syne_hypersched.backends.shared.events.EventLog.write` does; by default nothing
        is written.
    time_s
        Virtual seconds since the start.
    closed
        Whether nothing is launched any more: the drains before the deadline have begun, or everything is stopped.
    device_seconds_held, device_seconds_training
        Seconds that devices were held by launches that have ended, and seconds of these devices and others that were
        spent on epochs that were reported. Both count each device.
    """

    def __init__(
        self,
        num_devices: int,
        curve_of: Callable[[dict[str, Any]], LearningCurve],
        launcher: VirtualLauncher,
        elapsed_time_attr: str,
        devices_over_time: DeviceSchedule = (),
    ) -> None:
        self.record: Callable[..., None] = record_nothing
        self.time_s = 0.0
        self.device_seconds_held = self.device_seconds_training = 0.0
        self.situation = Situation(num_devices)
        self.pool = DevicePool([f"device{index}" for index in range(num_devices)])
        self._changes = PoolClock(devices_over_time)
        self._pool_changes = bool(devices_over_time)
        self._curve_of = curve_of
        self._launcher = launcher
        self._elapsed_time_attr = elapsed_time_attr
        self._trials: dict[int, VirtualTrial] = {}
        #: Trials that want devices or hold some.
        self._active: dict[int, VirtualTrial] = {}
        #: Those among them that are not to stay as they are; only they concern :func:`reconcile`.
        self._unsettled: dict[int, VirtualTrial] = {}
        self._num_wanting = 0
        self._num_orders = 0
        self._news = Outbox()
        self._drain_at_s = self._kill_at_s = math.inf
        self.closed = False

    # Orders, as the fleet of processes takes them.

    def start(
        self, trial_id: int, config: dict[str, Any], num_devices: int, event: str, checkpoint_of: int | None = None
    ) -> None:
        """Starts or resumes a trial, as the tuner asks; it is launched as soon as its devices are free.

        Parameters
        ----------
        trial_id, config, num_devices
            The trial, its configuration and its number of devices.
        event
            ``"start"`` or ``"resume"``.
        checkpoint_of
            If given, a new trial continues from the checkpoint of this trial.

        Raises
        ------
        ValueError
            There can be no devices for it: as many trials as devices allow are running already.
        """
        if (self._num_wanting + 1) * num_devices > len(self.pool):
            raise ValueError(
                f"n_workers must be at most {len(self.pool) // num_devices} with {len(self.pool)} devices and "
                f"{num_devices} per trial, but the tuner starts trial {trial_id} while {self._num_wanting} are running"
            )
        if not self._trials:
            self._record_setup()
        trial = self._trials.get(trial_id)
        if trial is None:
            trial = VirtualTrial(trial_id, self._curve_of(config))
            if checkpoint_of is not None:
                trial.num_trained = self._trials[checkpoint_of].num_trained
            self._trials[trial_id] = trial
        elif config != trial.config:
            trial.curve = self._curve_of(config)
        trial.config = dict(config)
        trial.status, trial.kind, trial.signal_s = Status.in_progress, event, self.time_s
        self._news.give_back(trial)
        self._order(trial, num_devices)
        if self.record is not record_nothing:
            self.record(event, trial_id, reason=f"{counted(num_devices, 'device')} ordered")
        self._reconcile()

    def wish_devices(self, trial_id: int, num_devices: int) -> None:
        """Requests another number of devices, as the scheduler asks; ignored for a trial that must not run.

        Raises
        ------
        TypeError, ValueError
            ``num_devices`` is not an integer from 1 to the number of devices.
        """
        num_devices = check_wish(num_devices, len(self.pool))
        trial = self._trials[trial_id]
        if trial.wants in (0, num_devices):
            return
        self.record(
            "resize", trial_id, trial.devices, trial.launch, f"{trial.wants} -> {num_devices}",
            **{"from": trial.wants, "to": num_devices},
        )  # fmt: skip
        self._order(trial, num_devices)
        self._reconcile()

    def halt(self, trial_id: int, status: str, after: Mapping[str, Any] | None = None) -> None:
        """The tuner pauses or stops a trial.

        Parameters
        ----------
        trial_id
            The trial.
        status
            ``Status.paused`` or ``Status.stopped``.
        after
            The report at which this was decided. The tuner has not looked at later ones: they are kept for a resume.
        """
        trial = self._trials[trial_id]
        trial.status = status
        self._news.keep(trial, after)
        trial.drain_reason = "pause" if status == Status.paused else "stop"
        self._want(trial, 0)
        if self.record is not record_nothing:
            self.record(trial.drain_reason, trial_id, trial.devices, trial.launch)
        if trial.phase is RUNNING and not self._unsettled and not self._pool_changes:
            self._drain(trial)  # as below, which takes longer
        else:
            self._place(trial)
            self._reconcile()

    def set_deadline(self, seconds_left: float, drain_s: float) -> None:
        """Trials drain from ``drain_s`` before the deadline on, and nothing is launched; at it, all have ended."""
        self._kill_at_s = self.situation.deadline_s = self.time_s + seconds_left
        self._drain_at_s = max(self.time_s, self.time_s + seconds_left - drain_s)

    def stop_all(self) -> None:
        """Drains every trial, and goes on to when the last device is free."""
        reason = "deadline" if self.closed else "stop"
        self.closed = True
        for trial in list(self._active.values()):
            trial.drain_reason = reason
            if trial.status == Status.in_progress:
                trial.status = Status.stopped
            self._order(trial, 0)
        self._reconcile()
        while self._active and self._advance():
            pass
        self.closed = False

    # What the tuner and the scheduler ask.

    def poll(self) -> None:
        """Goes on to the next time at which there is something for the tuner to act on, unless there is already."""
        if self._pool_changes or ((queue := self._launcher.queue) and queue[0][0] <= self.time_s):
            self._let_happen()
        if not self._news.due and not self._advance() and self.closed:
            # A tuner that waits for its trials to end must not wait for those that the deadline has ended.
            for trial in list(self._active.values()):
                trial.status = Status.stopped
                self._order(trial, 0)

    # Time.

    def advance_to(self, time_s: float) -> None:
        """Processes all events that are due by a time; the next poll returns their reports and advances no further."""
        while self._next_s() <= time_s:
            self._advance()
        if time_s > self.time_s:
            self.time_s, self._news.due = time_s, True

    def _advance(self) -> bool:
        """Goes on to the next event and lets everything happen that is due by then; False if there is no event."""
        queue = self._launcher.queue
        if queue and not self.closed and not self._pool_changes:
            next_s, _, ticket, trial = queue[0]
            if ticket != trial.ticket or next_s > self._drain_at_s:
                next_s = self._next_s()
        else:
            next_s = self._next_s()
        if next_s > self.time_s:
            if next_s == math.inf:
                return False
            self.time_s = next_s
        self._let_happen()
        if next_s >= self._drain_at_s and not self.closed:
            self._close()
        self._news.due = True
        return True

    def _let_happen(self) -> None:
        """Processes all events that are due by now. A drain that takes no time is due at once, and wakes no tuner."""
        queue, time_s = self._launcher.queue, self.time_s
        while queue and queue[0][0] <= time_s:
            _, _, ticket, trial = queue[0]
            what = trial.next
            if what is REPORT and ticket == trial.ticket:
                self._report(trial)
                continue
            heappop(queue)
            if ticket != trial.ticket:
                continue  # it is void
            if what is EXIT:
                self._exit(trial)
            elif what is CHANGE:
                self._change(trial)
                self._reconcile()
            else:
                self._end(trial, "completed" if what is COMPLETE else "failed")
        if self._pool_changes:
            for wanted in self._changes.take(self.time_s):
                self._set_present(wanted)

    def _close(self) -> None:
        """Drains every trial for the deadline; to the tuner they are still in progress."""
        self.closed = True
        for trial in list(self._active.values()):
            if trial.phase in (Phase.RUNNING, Phase.CHANGING):
                trial.drain_reason = "deadline"
                self._drain(trial)

    # Acting.

    def _reconcile(self) -> None:
        if not self._unsettled:
            return
        pool = self.pool
        if len(self._unsettled) == 1 and not (self._pool_changes and pool.any_retiring):
            (trial,) = self._unsettled.values()
            todo = reconcile_alone(trial, pool)
            if todo == "drain":
                self._drain(trial)
            elif todo and not self.closed:
                self._launch(trial, todo)
            if todo is not None:
                return
        states = [self._state(trial) for trial in self._unsettled.values()]
        has_withdrawn = False
        for action in reconcile(states, pool.num_free, num_present=pool.num_present):
            trial = self._trials[action.trial_id]
            if isinstance(action, Drain):
                self._drain(trial)
            elif isinstance(action, Launch) and not self.closed:
                self._launch(trial, action.num_devices)
            elif isinstance(action, Alter) and not self.closed:
                self._alter(trial, action.num_devices)
            elif isinstance(action, Withdraw):
                self._withdraw(trial)
                has_withdrawn = True
        if has_withdrawn:
            self._reconcile()

    def _launch(self, trial: VirtualTrial, num_devices: int) -> None:
        self._launcher.launch(trial, self.pool.acquire(trial.trial_id, num_devices), self.time_s)
        if num_devices == trial.wants and not self._pool_changes:
            self._unsettled.pop(trial.trial_id, None)  # as below, which takes longer
        else:
            self._place(trial)
        if self.record is not record_nothing:
            self.record("launch", trial.trial_id, trial.devices, trial.launch, wait_s=self.time_s - trial.signal_s)

    def _report(self, trial: VirtualTrial) -> None:
        """The first event of the queue, the end of an epoch of this trial, happens."""
        is_first = trial.first_of_launch
        spent_s = trial.epoch_s * trial.num_training + trial.correction_s
        self.device_seconds_training += spent_s
        report = trial.report(self.time_s, self._elapsed_time_attr, spent_s)
        if is_first and self.record is not record_nothing:
            self.record(
                "first_report", trial.trial_id, trial.devices, trial.launch,
                signal_to_report_s=report[ST_SIGNAL_TO_REPORT_S],
            )  # fmt: skip
        self._news.report(trial, report)
        if trial.num_trained >= len(trial.curve.epoch_s):
            heappop(self._launcher.queue)
            self._end(trial, "completed")
        else:
            self._launcher.train_on(trial, self.time_s)

    def _drain(self, trial: VirtualTrial) -> None:
        if trial.wants and not self.closed:
            trial.kind = "resize"
            trial.drain_reason = "pool" if self.pool.num_retiring(trial.trial_id) else "resize"
        self._launcher.drain(trial, self.time_s, self._kill_at_s)
        if trial.wants or self._pool_changes:
            self._place(trial)
        else:
            self._unsettled.pop(trial.trial_id, None)
        if self.record is not record_nothing:
            self.record(
                "drain", trial.trial_id, trial.devices, trial.launch, trial.drain_reason, grace_s=self._launcher.drain_s
            )

    def _exit(self, trial: VirtualTrial, how: str = "") -> None:
        """The trial's devices become free, because it was drained or for the reason given."""
        asked = not how
        if asked:
            how = "killed" if trial.killed else "drained"
        self.device_seconds_held += trial.holds * (self.time_s - trial.held_from_s)
        if self.record is not record_nothing:
            self.record(
                "exit", trial.trial_id, trial.devices, trial.launch, trial.drain_reason, how=how,
                drain_s=self.time_s - trial.signal_s if asked else None,
            )  # fmt: skip
        if self._pool_changes:
            pool_changes.release(self.pool, trial.trial_id, self.record)
        else:
            self.pool.release(trial.trial_id)
        trial.end_launch()
        if asked and trial.wants:
            trial.resized = True
        if trial.wants or self._pool_changes:
            self._place(trial)
        else:
            self._active.pop(trial.trial_id, None)
            self._unsettled.pop(trial.trial_id, None)
        if asked:
            self._reconcile()

    def _end(self, trial: VirtualTrial, how: str) -> None:
        """A trial ends by itself."""
        how = how if trial.num_trained else "failed"  # as a script counts that has never reported
        self._exit(trial, how)
        ended = Status.completed if trial.num_reports else Status.stopped  # it has begun where another one has ended
        trial.status = ended if how == "completed" else Status.failed
        self._news.end(trial)
        self._order(trial, 0)
        self.record("complete" if how == "completed" else "fail", trial.trial_id, (), trial.launch)
        self._reconcile()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A tuner that is loaded has forgotten the trials that ran, so in a copy they hold nothing."""
        self.__dict__.update(state)
        self._active, self._unsettled, self._num_wanting = {}, {}, 0
        self._launcher.forget_all()
        self._drain_at_s = self._kill_at_s = math.inf
        self.closed = False
        for trial in self._trials.values():
            self.pool.release(trial.trial_id)
            trial.end_launch()
            trial.wants, trial.resized = 0, False
