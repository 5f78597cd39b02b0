"""The processes of all trials on this machine, kept in the state that tuner and scheduler have requested.

The fleet acts; :func:`~syne_hypersched.backends.shared.reconcile.reconcile` decides. Requests come from the tuner's
thread, exits from the launcher's thread. One lock guards all state. Only :meth:`Fleet.stop_all` waits for processes.
The parts of a fleet are listed in :mod:`~syne_hypersched.backends.local._fleet_parts`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from syne_tune.backend.trial_status import Status

from syne_hypersched.backends.local import _fleet_log as log
from syne_hypersched.backends.local._checkpoints import Checkpoints
from syne_hypersched.backends.local._failures import FailurePolicy
from syne_hypersched.backends.local._fleet_parts import FleetParts, compose, load, store
from syne_hypersched.backends.local._fleet_state import FleetState
from syne_hypersched.backends.local._launches import Launches
from syne_hypersched.backends.local._options import ResizeMode
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.local._shares import NOT_SHARED, GpuShares
from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.events import DECISION, EventLog
from syne_hypersched.backends.shared.reconcile import Phase
from syne_hypersched.launch import Launcher, LaunchSpec


class Fleet:
    """See the module.

    Parameters
    ----------
    pool
        The devices.
    events
        Where to write what happens.
    make_launcher
        Makes the launcher from its callbacks; called before the first process is started.
    make_spec
        Makes the launch of a trial on devices: ``make_spec(processes, devices)``.
    grace_s
        Seconds from SIGTERM to SIGKILL.
    policy
        How failed launches are handled.
    checkpoints
        Manages the checkpoints.
    resize_mode
        Whether processes may join and leave trials while these train.
    shares
        How GPUs are shared; by default they are not.

    Attributes
    ----------
    pool
        The devices.
    devices
        Adds and removes devices.
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
        shares: GpuShares = NOT_SHARED,
    ) -> None:
        state = FleetState(pool, Launches(make_launcher), events, checkpoints, policy, grace_s, shares)
        self._take(compose(state, make_spec, resize_mode))

    def _take(self, parts: FleetParts) -> None:
        self._parts = parts
        self._state, self._reconciler = parts.state, parts.reconciler
        self.pool, self.devices = parts.state.pool, parts.devices

    # What a tuner may ask at any moment.

    @property
    def time_attr(self) -> str | None:
        """Entry of the reports that is the resource level, if known."""
        return self._state.checkpoints.time_attr

    @property
    def one_node(self) -> bool:
        """Whether all devices of a launch must be of one node; by default not."""
        return self._state.one_node

    @one_node.setter
    def one_node(self, one_node: bool) -> None:
        self._state.one_node = one_node

    def wished_devices(self, trial_id: int) -> int:
        """Number of devices requested for a trial; 0 if it must not run."""
        trial = self._state.trials.get(trial_id)
        return 0 if trial is None else trial.wants

    def max_num_devices(self, trial_id: int) -> int | None:
        """Largest number of devices on which a trial may be launched; None if no number has failed."""
        trial = self._state.trials.get(trial_id)
        return None if trial is None else trial.failures.max_num_devices

    def processes(self, trial_id: int) -> TrialProcesses | None:
        """The record of a trial, if it was ever started."""
        return self._state.trials.get(trial_id)

    def occupied(self) -> list[tuple[int, str]]:
        """One entry (trial id, status) for each device that is held or promised."""
        state = self._state
        with state.lock:
            return [
                (trial.trial_id, Status.in_progress if trial.wants else Status.stopping)
                for trial in state.trials.active
                for _ in range(max(trial.wants, state.pool.num_held(trial.trial_id)))
            ]

    def is_idle(self, trial_id: int) -> bool:
        """Whether no process of the trial exists."""
        trial = self._state.trials.get(trial_id)
        return trial is None or trial.phase is Phase.IDLE

    # Orders: recorded, carried out as far as possible at once, and never waited for.

    def start(self, trial: TrialProcesses, num_devices: int, event: str) -> None:
        """The tuner starts or resumes a trial; it is launched as soon as its devices are free.

        Raises
        ------
        ValueError
            There can be no devices for it: as many trials as devices allow are running already.
        """
        state = self._state
        with state.step():
            running = sum(other.wants > 0 for other in state.trials.active)
            if (running + 1) * num_devices > len(self.pool):
                raise ValueError(
                    f"n_workers must be at most {len(self.pool) // num_devices} with {len(self.pool)} devices and "
                    f"{num_devices} per trial, but the tuner starts trial {trial.trial_id} while {running} are running"
                )
            state.launches.is_closing = False
            state.trials[trial.trial_id] = trial
            on = state.shares.wanted(trial.trial_id, trial.resumes_on or num_devices)
            trial.start(trial.failures.fitting(on), state.next_order())
            trial.resumes_on = 0
            trial.clock.expect_launch()
            state.trials.place(trial)
            state.events.write(event, trial.trial_id, reason=log.ordered(trial.wants))
            self._reconciler.reconcile()

    def wish_devices(self, trial_id: int, num_devices: int) -> None:
        """Requests another number of devices, as the scheduler asks.

        The request is ignored for a trial that must not run, and refused for a number on which the trial has failed.
        """
        state = self._state
        with state.step():
            trial, num_devices = state.trials.get(trial_id), state.shares.wanted(trial_id, num_devices)
            if trial is None or trial.wants in (0, num_devices):
                return
            change, limit = f"{trial.wants} -> {num_devices}", trial.failures.max_num_devices
            if limit is not None and num_devices > limit:
                state.record("refuse", trial, f"{change}: it has failed on {limit + 1}", to=num_devices)
                return
            state.record("resize", trial, change, **{"from": trial.wants, "to": num_devices})
            trial.resize(num_devices, state.next_order())
            self._reconciler.reconcile()

    def halt(self, trial_id: int, status: str, after: dict[str, Any] | None = None) -> None:
        """Pauses or stops a trial, as the tuner asks.

        Parameters
        ----------
        status
            ``Status.paused`` or ``Status.stopped``.
        after
            The report at which this was decided. The tuner has not read later reports, which are kept for a resume.
        """
        with self._state.step():
            trial = self._state.trials.get(trial_id)
            if trial is None:
                return  # it has ended for good
            trial.reports.take_back(after)
            self._halt(trial, status, "pause" if status == Status.paused else "stop")
            self._state.record(trial.drain_reason, trial)
            self._reconciler.reconcile()

    def _halt(self, trial: TrialProcesses, status: str, reason: str) -> None:
        trial.halt(status, reason, self._state.next_order())
        self._state.trials.place(trial)

    def set_deadline(self, drain_at: float, kill_at: float) -> None:
        """From ``drain_at`` on (monotonic seconds) nothing is launched any more; at ``kill_at`` no process is left."""
        with self._state.lock:
            self._state.launches.set_deadline(drain_at, kill_at)

    # What a tuner tells.

    def note(self, trial_id: int, what: str, reason: str, numbers: Mapping[str, float]) -> None:
        """Records why the scheduler decides something."""
        with self._state.lock:
            self._state.record(DECISION, self._state.trials[trial_id], reason, what=what, numbers=dict(numbers))

    def tell_launches(self) -> None:
        """Tells running launches which entries of a report are the resource level and the metric."""
        with self._state.lock:
            known = self._state.checkpoints.publisher
            self._state.launches.follow(known.time_attr, known.metric, known.do_minimize)

    def restore(self, trial: TrialProcesses, lost: tuple[str, ...] | None = None) -> None:
        """Takes over a trial of a tuner that has died; ``lost``: devices of a launch whose end was not recorded."""
        with self._state.step():
            if trial.status == Status.paused:
                self._state.trials[trial.trial_id] = trial
            if lost is not None:
                reason = "the tuner died"
                self._state.events.write("exit", trial.trial_id, lost, trial.launch, reason, how="lost", exit_code=None)

    # What a tuner does again and again, and at its end.

    def poll(
        self, trial_ids: Collection[int], grown: Collection[int] | None = None
    ) -> tuple[dict[int, str], list[tuple[int, dict[str, Any]]]]:
        """Status of each trial as the tuner sees it (relaunches are not visible), and the new reports.

        A trial has an end status only with or after its last report. Of logs, those of ``grown``
        are read; None: all.
        """
        state, trials, checkpoints = self._state, self._state.trials, self._state.checkpoints
        found = trials.look(grown)
        with state.step():
            if state.fault is not None:
                raise state.fault
            self._parts.changes.look()
            self._reconciler.reconcile()
            trials.forget_ended(trial_ids)
            statuses: dict[int, str] = {}
            reports: list[tuple[int, dict[str, Any]]] = []
            for trial_id in trial_ids:
                trial = trials.get(trial_id)
                if trial is None:
                    statuses[trial_id] = trials.ended[trial_id]
                    continue
                if trial.phase is not Phase.IDLE:
                    if trial_id in found:
                        state.read_reports(trial)
                    if state.policy.stall_timeout_s is not None:
                        self._parts.crews.drain_if_stalled(trial)
                statuses[trial_id] = trial.status
                if trial.reports.has_news and trial.status not in (Status.paused, Status.stopped):
                    delivered = checkpoints.usable.of(trial_id, trial.reports.deliver())
                    for report in delivered:
                        self.pool.tell(report)
                    reports += [(trial_id, report) for report in delivered]
                    checkpoints.hear_delivery(trial, delivered)
                if statuses[trial_id] == Status.completed and checkpoints.usable.is_silent(trial_id):
                    statuses[trial_id] = Status.failed  # a tuner ends if a completed trial has not reported
                if trial.wants and trial.phase is Phase.IDLE and state.launches.is_too_late():
                    # It is never launched again: a tuner that waits for its trials to end must not wait for it.
                    self._halt(trial, Status.stopped, "deadline")
                    statuses[trial_id] = trial.status
            return statuses, reports

    def stop_all(self) -> None:
        """Drains every trial, waits until every process is gone, and ends the launcher."""
        state = self._state
        with state.step():
            reason = "deadline" if state.launches.is_too_late() else "stop"
            state.launches.is_closing = True
            for trial in state.trials.active:
                self._halt(trial, Status.stopped if trial.status == Status.in_progress else trial.status, reason)
            self._reconciler.reconcile()
            give_up_at = time.monotonic() + state.grace_s + log.PATIENCE_S
            while (live := state.trials.active) and state.fault is None:
                if not state.changed.wait(timeout=max(0.0, min(1.0, give_up_at - time.monotonic()))):
                    now = time.monotonic()
                    late = [trial for trial in live if now - trial.clock.signal_time > state.grace_s + 2]
                    log.warn_of_survivors(late, now)
                if time.monotonic() >= give_up_at:
                    break
            launcher = state.launches.take_launcher()
        if launcher is not None:
            launcher.close(wait=not live)  # a warning has named processes that do not die

    def check(self) -> None:
        """Checks the invariants between two steps.

        Raises
        ------
        IllegalStateError
            An invariant is broken; the message has the history of the trial.
        """
        self._state.check()

    # Stored with its tuner.

    def __getstate__(self) -> dict[str, Any]:
        """State without processes, for a copy of the fleet in another process."""
        with self._state.lock:
            return store(self._parts)

    def __setstate__(self, stored: dict[str, Any]) -> None:
        """A copy in another process has no processes."""
        self._take(load(stored))
