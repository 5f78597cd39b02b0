"""All trials' processes on this machine, kept in the state that tuner and scheduler asked for.

The fleet acts; what to do next is decided by :func:`~syne_hypersched.backends.reconcile.reconcile`. Orders come from
the tuner's thread, exits from the launcher's; one lock guards all state, and no method waits for a process except
:meth:`Fleet.stop_all`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from syne_tune.backend.trial_status import Status

from syne_hypersched.backends._processes import TrialProcesses, last_lines, rank_log_name
from syne_hypersched.backends.devices import DevicePool
from syne_hypersched.backends.events import DECISION, EventLog
from syne_hypersched.backends.reconcile import Drain, Phase, reconcile
from syne_hypersched.backends.reports import parse_reports
from syne_hypersched.launch import Launcher, LaunchExit, LaunchSpec

logger = logging.getLogger(__name__)

#: A trial that waits this long for a device, or does not die this long after SIGKILL, is worth a warning.
PATIENCE_S = 30.0
#: A trial that leaves by itself more often than this between two reports, though nobody has asked it to, has failed.
MAX_LEAVES = 3


class Fleet:
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
    """

    def __init__(
        self,
        pool: DevicePool,
        events: EventLog,
        make_launcher: Callable[..., Launcher],
        make_spec: Callable[[TrialProcesses, tuple[str, ...]], LaunchSpec],
        grace_s: float,
    ) -> None:
        self.pool = pool
        self.time_attr: str | None = None
        self._events = events
        self._make_launcher = make_launcher
        self._make_spec = make_spec
        self._grace_s = grace_s
        self._trials: dict[int, TrialProcesses] = {}
        #: Trials that want devices or hold some; the others cost nothing.
        self._active: dict[int, TrialProcesses] = {}
        self._orders = 0
        self._deadline: tuple[float, float] | None = None
        self._closing = False
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._launcher: Launcher | None = None
        self._by_handle: dict[int, int] = {}

    # Orders: recorded, carried out as far as possible at once, and never waited for.

    def start(self, trial: TrialProcesses, num_devices: int, event: str) -> None:
        """The tuner starts or resumes a trial; it is launched as soon as its devices are free.

        Raises
        ------
        ValueError
            There can be no devices for it: as many trials as devices allow are running already.
        """
        with self._lock:
            running = sum(other.wants > 0 for other in self._active.values())
            if (running + 1) * num_devices > len(self.pool):
                raise ValueError(
                    f"n_workers must be at most {len(self.pool) // num_devices} with {len(self.pool)} devices and "
                    f"{num_devices} per trial, but the tuner starts trial {trial.trial_id} while {running} are running"
                )
            self._closing = False
            self._trials[trial.trial_id] = trial
            trial.status = Status.in_progress
            self._order(trial, num_devices)
            trial.signal_timestamp, trial.signal_time = time.time(), time.monotonic()
            self._events.write(event, trial.trial_id, reason=f"{num_devices} devices ordered")
            self._reconcile()

    def wish(self, trial_id: int, num_devices: int) -> None:
        """The scheduler asks for another number of devices; a trial that is not to run keeps none."""
        with self._lock:
            trial = self._trials[trial_id]
            if trial.wants in (0, num_devices):
                return
            held = self.pool.held_by(trial_id)
            self._events.write(
                "resize", trial_id, held, trial.launch, f"{trial.wants} -> {num_devices}",
                **{"from": trial.wants, "to": num_devices},
            )  # fmt: skip
            self._order(trial, num_devices)
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
        with self._lock:
            trial = self._trials[trial_id]
            trial.status = status
            position = next((i for i, report in enumerate(trial.delivered) if report is after), None)
            if position is not None:
                trial.queue.extendleft(reversed(trial.delivered[position + 1 :]))
                trial.delivered = []
            trial.drain_reason = "pause" if status == Status.paused else "stop"
            self._order(trial, 0)
            self._events.write(trial.drain_reason, trial_id, self.pool.held_by(trial_id), trial.launch)
            self._reconcile()

    def note(self, trial_id: int, what: str, reason: str, numbers: Mapping[str, float]) -> None:
        """Records why the scheduler decides something."""
        with self._lock:
            held, launch = self.pool.held_by(trial_id), self._trials[trial_id].launch
            self._events.write(DECISION, trial_id, held, launch, reason, what=what, numbers=dict(numbers))

    def set_deadline(self, drain_at: float, kill_at: float) -> None:
        """From ``drain_at`` on (monotonic seconds) nothing is launched any more; at ``kill_at`` no process is left."""
        with self._lock:
            self._deadline = (drain_at, kill_at)
            if self._launcher is not None:
                self._launcher.set_deadline(drain_at, kill_at)

    # What the tuner asks.

    def poll(self, trial_ids: Iterable[int]) -> tuple[dict[int, str], list[tuple[int, dict[str, Any]]]]:
        """Status of each trial in the tuner's terms, to which a relaunch goes unnoticed, and the new reports.

        A status says that a trial has ended only together with or after its last report.
        """
        with self._lock:
            self._reconcile()
            statuses: dict[int, str] = {}
            reports: list[tuple[int, dict[str, Any]]] = []
            for trial_id in trial_ids:
                trial = self._trials[trial_id]
                if trial.phase is not Phase.IDLE:
                    self._read(trial)
                statuses[trial_id] = trial.status
                if trial.status not in (Status.paused, Status.stopped):
                    trial.delivered = list(trial.queue)
                    trial.queue.clear()
                    reports += [(trial_id, report) for report in trial.delivered]
            return statuses, reports

    def wishes(self, trial_id: int) -> int:
        """Devices on which a trial is to run; 0 if it is not."""
        trial = self._trials.get(trial_id)
        return 0 if trial is None else trial.wants

    def processes(self, trial_id: int) -> TrialProcesses | None:
        """The record of a trial, if it was ever started."""
        return self._trials.get(trial_id)

    def occupied(self) -> list[tuple[int, str]]:
        """One entry (trial id, status) for each device that is held or promised."""
        with self._lock:
            return [
                (trial.trial_id, Status.in_progress if trial.wants else Status.stopping)
                for trial in self._active.values()
                for _ in range(max(trial.wants, len(self.pool.held_by(trial.trial_id))))
            ]

    def is_idle(self, trial_id: int) -> bool:
        """Whether no process of the trial exists."""
        trial = self._trials.get(trial_id)
        return trial is None or trial.phase is Phase.IDLE

    def stop_all(self) -> None:
        """Drains every trial, waits until every process is gone, and ends the launcher."""
        with self._lock:
            reason = "deadline" if self._too_late() else "stop"
            self._closing = True
            for trial in list(self._active.values()):
                trial.drain_reason = reason
                if trial.status == Status.in_progress:
                    trial.status = Status.stopped
                self._order(trial, 0)
            self._reconcile()
            give_up_at = time.monotonic() + self._grace_s + PATIENCE_S
            while live := list(self._active.values()):
                if not self._changed.wait(timeout=max(0.0, min(1.0, give_up_at - time.monotonic()))):
                    self._warn_of_the_undead(live)
                if time.monotonic() >= give_up_at:
                    break
            launcher, self._launcher = self._launcher, None
        if launcher is not None:
            launcher.close(wait=not live)  # what does not die has been warned of

    # Acting.

    def _order(self, trial: TrialProcesses, wants: int) -> None:
        self._orders += 1
        trial.order = self._orders
        trial.wants = wants
        if not wants:
            trial.resized = False
        self._note_activity(trial)

    def _note_activity(self, trial: TrialProcesses) -> None:
        if trial.wants or trial.phase is not Phase.IDLE:
            self._active[trial.trial_id] = trial
        else:
            self._active.pop(trial.trial_id, None)

    def _reconcile(self) -> None:
        states = [trial.state(len(self.pool.held_by(trial.trial_id))) for trial in self._active.values()]
        for action in reconcile(states, self.pool.num_free):
            trial = self._trials[action.trial_id]
            if isinstance(action, Drain):
                self._drain(trial)
            elif not self._too_late():
                self._launch(trial, action.num_devices)
        self._warn_of_waiting()

    def _too_late(self) -> bool:
        return self._closing or (self._deadline is not None and time.monotonic() >= self._deadline[0])

    def _drain(self, trial: TrialProcesses) -> None:
        if self._launcher is None or trial.handle is None:
            return
        if trial.wants:
            trial.drain_reason = "resize"
        trial.phase = Phase.DRAINING
        trial.signal_timestamp, trial.signal_time = time.time(), time.monotonic()
        self._launcher.drain(trial.handle, self._grace_s)
        self._events.write(
            "drain", trial.trial_id, self.pool.held_by(trial.trial_id), trial.launch, trial.drain_reason,
            grace_s=self._grace_s,
        )  # fmt: skip

    def _launch(self, trial: TrialProcesses, num_devices: int) -> None:
        devices = self.pool.acquire(trial.trial_id, num_devices)
        trial.launch += 1
        trial.phase, trial.resized, trial.drain_reason, trial.warned = Phase.RUNNING, False, "", False
        trial.stream.begin_launch(trial.launch, num_devices, trial.signal_timestamp)
        spec = self._make_spec(trial, devices)
        trial.handle = self._get_launcher().launch(spec)
        self._by_handle[trial.handle] = trial.trial_id

    def _get_launcher(self) -> Launcher:
        if self._launcher is None:
            self._launcher = self._make_launcher(on_launched=self._on_launched, on_exit=self._on_exit)
            if self._deadline is not None:
                self._launcher.set_deadline(*self._deadline)
        return self._launcher

    def _read(self, trial: TrialProcesses, to_the_end: bool = False) -> None:
        lines = trial.tail.lines(to_the_end)
        if not lines:
            return
        for raw in parse_reports(lines, trial.stdout_path):
            report = trial.stream.accept(raw, self.time_attr, time.time())
            if report is None:
                continue
            trial.has_reported = True
            trial.num_left = 0
            trial.queue.append(report)
            if "st_signal_to_report_s" in report:
                self._events.write(
                    "first_report", trial.trial_id, self.pool.held_by(trial.trial_id), trial.launch,
                    signal_to_report_s=report["st_signal_to_report_s"],
                )  # fmt: skip

    # What the launcher tells, in its own thread.

    def _on_launched(self, handle: int, pids: list[int], moment: float) -> None:
        with self._lock:
            trial = self._trials[self._by_handle[handle]]
            self._events.write(
                "launch", trial.trial_id, self.pool.held_by(trial.trial_id), trial.launch, pids=pids,
                wait_s=moment - trial.signal_time,
            )  # fmt: skip

    def _on_exit(self, handle: int, exit_: LaunchExit, moment: float) -> None:
        with self._lock:
            trial = self._trials[self._by_handle.pop(handle)]
            self._read(trial, to_the_end=True)
            asked = trial.phase is Phase.DRAINING
            reason = trial.drain_reason or ("deadline" if exit_.drained else "")
            devices = self.pool.release(trial.trial_id)
            trial.phase, trial.handle, trial.drain_reason = Phase.IDLE, None, ""
            if exit_.has_left and not asked:
                trial.num_left += 1
            if exit_.drained or exit_.lost:
                how = "lost" if exit_.lost else "killed" if exit_.killed else "drained"
            elif exit_.has_left and trial.num_left <= MAX_LEAVES:  # somebody else has sent it a SIGTERM
                how = "drained"
            else:  # by itself, perhaps just before it could be asked to
                how = "completed" if exit_.exit_code == 0 and not exit_.error else "failed"
            self._events.write(
                "exit", trial.trial_id, devices, trial.launch, reason, how=how, exit_code=exit_.exit_code,
                exit_codes=exit_.exit_codes, drain_s=max(0.0, moment - trial.signal_time) if asked else None,
            )  # fmt: skip
            # A trial that was paused and is resumed already has more to do than the script that has just ended knew.
            if trial.wants and how in ("completed", "failed") and reason != "pause":
                self._end(trial, exit_, how)
            elif trial.wants:  # nothing is wrong with the trial: it goes on from its checkpoint
                trial.resized = True
                if not asked:
                    trial.signal_timestamp, trial.signal_time = time.time(), time.monotonic()
            self._note_activity(trial)
            self._reconcile()
            self._changed.notify_all()

    def _end(self, trial: TrialProcesses, exit_: LaunchExit, how: str) -> None:
        if how == "completed" and not trial.has_reported:
            how = "failed"
            logger.error(
                "Trial %d ended with exit code 0 but has reported nothing, so it counts as failed. A training script "
                "has to report with syne_tune.Reporter at least once. Log: %s", trial.trial_id, trial.stdout_path,
            )  # fmt: skip
        elif how == "failed":
            rank = exit_.first_failed or 0
            log = trial.stderr_path.with_name(rank_log_name(trial.stderr_path.name, rank))
            logger.error(
                "Trial %d failed with exit code %s in launch %d%s%s. Log: %s\n%s", trial.trial_id, exit_.exit_code,
                trial.launch, f" (rank {rank} first)" if len(exit_.exit_codes) > 1 else "",
                f": {exit_.error}" if exit_.error else "", log, last_lines(log),
            )  # fmt: skip
        self._order(trial, 0)
        trial.status = Status.completed if how == "completed" else Status.failed
        self._events.write(
            "complete" if how == "completed" else "fail", trial.trial_id, (), trial.launch,
            exit_code=exit_.exit_code, log=str(trial.stderr_path),
        )  # fmt: skip

    # Warnings.

    def _warn_of_waiting(self) -> None:
        now = time.monotonic()
        for trial in self._active.values():
            waits = trial.wants and trial.phase is Phase.IDLE and now - trial.signal_time > PATIENCE_S
            if waits and not trial.warned and not self._too_late():
                trial.warned = True
                logger.warning(
                    "Trial %d has waited %.0f s for %d devices; %d of %d are free, the rest is held by trials %s.",
                    trial.trial_id, now - trial.signal_time, trial.wants, self.pool.num_free, len(self.pool),
                    sorted(self.pool.holders),
                )  # fmt: skip

    def _warn_of_the_undead(self, live: list[TrialProcesses]) -> None:
        for trial in live:
            if not trial.warned and time.monotonic() - trial.signal_time > self._grace_s + 2:
                trial.warned = True
                logger.warning(
                    "Processes of trial %d do not end %.0f s after SIGTERM. The events of this trial name their pids.",
                    trial.trial_id, time.monotonic() - trial.signal_time,
                )  # fmt: skip

    def __getstate__(self) -> dict[str, Any]:
        """State without processes: what a copy of the fleet in another process can know of."""
        with self._lock:
            state = self.__dict__.copy()
            for name in ("_lock", "_changed", "_launcher", "_by_handle", "_active", "_deadline"):
                del state[name]
            return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy in another process has no processes: what was running there is at its last checkpoint here."""
        self.__dict__.update(state)
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._launcher = None
        self._by_handle = {}
        self._active = {}
        self._deadline = None
        for trial in self._trials.values():
            trial.wants, trial.phase, trial.resized, trial.handle = 0, Phase.IDLE, False, None
            self.pool.release(trial.trial_id)
