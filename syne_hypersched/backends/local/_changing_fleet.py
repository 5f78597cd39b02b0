"""Processes that join and leave trials while these train; ``docs/joining.md`` has the protocol."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from syne_hypersched._resize_desk import RankChange, ResizeDesk
from syne_hypersched._wording import counted
from syne_hypersched.backends.local._crew import Crew, changeable, joining
from syne_hypersched.backends.local._failures import FailurePolicy
from syne_hypersched.backends.local._fleet_checks import CheckedFleet
from syne_hypersched.backends.local._options import ResizeMode
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.local._states import ProcessState
from syne_hypersched.backends.shared import pool_changes
from syne_hypersched.backends.shared.events import EventLog
from syne_hypersched.backends.shared.reconcile import Phase
from syne_hypersched.launch import Launcher, LaunchExit, LaunchSpec

logger = logging.getLogger(__name__)

#: Seconds that new processes may take until they are ready.
PREPARE_TIMEOUT_S = 600.0
#: When one launch of a trial has failed, the others wait for it in a collective: they get this long to end too.
_PEER_GRACE_S = 2.0
#: Why a trial is drained that holds a device which is to go.
POOL = "pool"
#: Name of the folder for changes, beside the logs of a trial.
_FOLDER = "resizes"


class ChangingFleet(CheckedFleet):
    """See the module."""

    _events: EventLog
    _launcher: Launcher | None
    _make_spec: Callable[[TrialProcesses, tuple[str, ...]], LaunchSpec]
    _policy: FailurePolicy
    _grace_s: float
    _record: Callable[..., None]
    _next_order: Callable[[], int]
    _reconcile: Callable[[], None]
    _drain: Callable[..., None]
    _get_launcher: Callable[[], Launcher]
    _too_late: Callable[[], bool]
    _changed: threading.Condition
    #: Whether processes may join and leave trials, and whether the user was told that those of some cannot.
    resize_mode: ResizeMode
    _has_told: bool

    def _launch_crew(self, trial: TrialProcesses, spec: LaunchSpec, devices: tuple[str, ...]) -> int:
        """Launches a trial; returns the launcher's number."""
        desk = None
        if self.resize_mode != "relaunch" and len(spec.ranks) == len(devices):
            desk = ResizeDesk(trial.stdout_path.parent / _FOLDER)
            try:
                desk.open()
                spec = changeable(spec, desk)
            except OSError as error:
                logger.warning("Trial %d is relaunched for each resize: %s", trial.trial_id, error)
                desk = None
        handle = self._get_launcher().launch(spec)
        trial.crew = Crew(handle, devices, len(spec.ranks), desk)
        return handle

    def _can_change(self, trial: TrialProcesses) -> bool:
        crew = trial.crew
        if crew is None or trial.phase is not Phase.RUNNING or not trial.wants:
            return False
        is_well = trial.wants == len(crew.seats) and not self.pool.num_retiring(trial.trial_id)
        return not is_well and crew.can_change

    def _going(self, trial: TrialProcesses) -> list[str]:
        """Devices of a trial that are to go."""
        if not self.pool.num_retiring(trial.trial_id):
            return []
        return [device for device in self.pool.held_by(trial.trial_id) if not self.pool.is_present(device)]

    def _explain_relaunch(self, trial: TrialProcesses) -> str:
        """Why a trial that is drained for a resize cannot be resized in place; empty if there is nothing to say.

        The first one is warned of.
        """
        crew = trial.crew
        if crew is None or trial.drain_reason not in ("resize", POOL) or self.pool.is_lost(trial.trial_id):
            return ""
        why = crew.why_unable
        if not why and crew.can_change and not crew.can_leave(self._going(trial)):
            why = "the device of its first process, which leads every change, is to go"
        if self.resize_mode == "in_place" and why and not self._has_told:
            self._has_told = True
            logger.warning(
                "Trial %d is launched again %s, although resize is 'in_place': %s. docs/joining.md "
                "says what it needs. Further ones are launched again without a warning; their events have the reason.",
                trial.trial_id,
                "as devices are to go" if trial.drain_reason == POOL
                else f"for a resize to {counted(trial.wants, 'device')}",
                why,
            )  # fmt: skip
        return why

    def _useful(self, trial: TrialProcesses) -> int:
        """Devices that a trial wants, of which it gets no more when its training has ended."""
        crew, holds = trial.crew, self.pool.num_held(trial.trial_id)
        if crew is None or trial.phase is not Phase.RUNNING or trial.wants <= holds or not crew.is_over:
            return trial.wants
        return holds

    def _alter(self, trial: TrialProcesses, num_devices: int) -> None:
        """Orders a change of the number of devices of a trial while it trains."""
        crew = trial.crew
        if crew is None or crew.desk is None:
            return
        change = crew.next_change(num_devices, self._going(trial))
        if change.new_ranks and time.monotonic() < crew.not_before:
            return
        try:
            crew.desk.order(change)
        except OSError as error:
            logger.warning("Trial %d is relaunched, since a change cannot be written: %s", trial.trial_id, error)
            crew.desk = None
            self._drain(trial)
            return
        crew.begin(change)
        trial.begin_change(num_devices)
        if not change.new_ranks:
            return
        crew.new_devices = self.pool.extend(trial.trial_id, len(change.new_ranks))
        spec = self._make_spec(trial, (*crew.devices, *crew.new_devices))
        crew.newcomer = self._get_launcher().launch(joining(spec, change, crew.desk))
        self._by_handle[crew.newcomer] = trial.trial_id

    def _withdraw(self, trial: TrialProcesses, reason: str = "") -> bool:
        """Gives up the change of a trial, by default for an order; False if it has begun, or was given up before."""
        reason = reason or ("devices are to go" if self._going(trial) else "another order")
        crew = trial.crew
        if crew is None or crew.desk is None or crew.change is None or crew.is_withdrawn:
            return False
        if not crew.desk.withdraw(crew.change):
            return False  # it is carried out first
        crew.is_withdrawn = True
        self._record("withdraw", trial, reason, to=crew.change.after)
        self._dismiss(trial, reason)
        return True

    def _dismiss(self, trial: TrialProcesses, reason: str) -> None:
        """Ends the new processes of a change that is not carried out. Without any, the change is over."""
        crew = trial.crew
        if crew is None:
            return
        if crew.newcomer is not None and crew.newcomer not in crew.exits:
            if self._launcher is not None:
                self._launcher.drain(crew.newcomer, 0.0)
            return
        if crew.newcomer is not None:
            self._forget_launch(crew, crew.newcomer)
            self._give_back(trial, "abandon", crew.new_devices, reason)
        self._settle(trial)

    def _give_back(
        self, trial: TrialProcesses, event: str, devices: tuple[str, ...], reason: str = "", **details: Any
    ) -> None:
        """A trial that trains holds some devices no more; the event says why."""
        self.pool.give_back(trial.trial_id, devices)
        self._record(event, trial, reason, **details)
        pool_changes.tell_freed(self.pool, devices, self._events.write)

    def _settle(self, trial: TrialProcesses) -> None:
        if trial.crew is not None:
            trial.crew.end_change()
        if trial.state is ProcessState.CHANGING:
            trial.settle()

    def _forget_launch(self, crew: Crew, handle: int) -> None:
        self._by_handle.pop(handle, None)
        crew.exits.pop(handle, None)

    def _look_at_changes(self) -> None:
        """Takes note of what has become of changes."""
        for trial in self._trials.active:
            if trial.crew is not None and trial.crew.change is not None:
                self._look_at_change(trial, trial.crew, trial.crew.change)

    def _look_at_change(self, trial: TrialProcesses, crew: Crew, change: RankChange) -> None:
        trial.hear_change()
        if crew.desk is None or crew.is_withdrawn:
            return
        if not crew.is_ready and change.new_ranks:
            ready = crew.desk.ready_times(change)
            if len(ready) == len(change.new_ranks):
                crew.is_ready = True
                self._record("ready", trial, prepare_s=max(0.0, max(ready.values()) - crew.ordered_timestamp))
        if trial.state is not ProcessState.CHANGING:
            return
        waited_s = time.monotonic() - crew.ordered_at
        outcome = crew.outcome
        if outcome is None:
            if change.new_ranks and crew.is_over:
                self._withdraw(trial, "the run has ended")
            elif change.new_ranks and not crew.is_ready and waited_s > PREPARE_TIMEOUT_S:
                if self._withdraw(trial, f"not ready after {waited_s:.0f} s"):
                    crew.num_failed += 1
            elif not change.new_ranks and waited_s > self._grace_s:
                # As a script that does not react to SIGTERM in time.
                self._withdraw(trial, f"no step has ended within {waited_s:.1f} s")
                crew.num_failed += 1
                self._drain(trial)
            return
        if not outcome.is_done:
            crew.is_withdrawn = True  # this is done once, and the change is over when the new processes are reaped
            if not crew.is_over:
                exit_ = None if crew.newcomer is None else crew.exits.get(crew.newcomer)
                self._count_failure(trial, crew, change, exit_)
            self._record("unchanged", trial, outcome.why, to=change.after)
            self._dismiss(trial, outcome.why)
        elif change.new_ranks:
            handle = crew.newcomer
            crew.seat_newcomers()
            self._record(
                "joined", trial, pause_s=outcome.pause_s, transfer_s=outcome.transfer_s,
                change_s=outcome.time - crew.ordered_timestamp,
            )  # fmt: skip
            crew.num_failed = 0
            self._settle(trial)
            if handle in crew.exits:  # it has ended since
                self._end_others(trial, crew)
        else:
            self._release_gone(trial, crew, change, outcome.pause_s)

    def _release_gone(self, trial: TrialProcesses, crew: Crew, change: RankChange, pause_s: float) -> None:
        """Takes the devices from processes that have left, as soon as each of them is reaped."""
        if not crew.gone.issuperset(crew.leaving):
            return
        devices, launches = crew.clear_seats(change.gone)
        for handle in launches:
            if handle in crew.exits:
                self._forget_launch(crew, handle)
        self._give_back(trial, "left", devices, pause_s=pause_s, change_s=time.monotonic() - crew.ordered_at)
        crew.num_failed = 0
        self._settle(trial)

    def _count_failure(self, trial: TrialProcesses, crew: Crew, change: RankChange, exit_: LaunchExit | None) -> None:
        crew.num_failed += 1
        crew.not_before = time.monotonic() + self._policy.backoff_s(crew.num_failed)
        has_failed = exit_ is not None and not exit_.lost and not exit_.drained and exit_.exit_code != 0
        if has_failed and change.new_ranks and trial.failures.fail_to_grow(change.after):
            # It goes back to the number that works, which it has never left.
            trial.resize(min(trial.wants, change.before), self._next_order())

    def _on_left(self, handle: int, index: int) -> None:
        """A process has exited while others of its launch go on: perhaps it was to leave."""
        with self._told():
            trial_id = self._by_handle.get(handle)
            crew = None if trial_id is None else self._trials[trial_id].crew
            rank = None if crew is None else crew.rank_of(handle, index)
            if trial_id is None or crew is None or rank is None:
                return
            crew.gone.add(rank)
            self._look_at_changes()
            self._reconcile()
            self._changed.notify_all()

    def _collect_exit(self, trial: TrialProcesses, handle: int, exit_: LaunchExit) -> LaunchExit | None:
        """A launch has ended; returns how all processes of the trial have, if none is left."""
        crew = trial.crew
        if crew is None:
            return exit_
        crew.exits[handle] = exit_
        if crew.change is not None:
            self._look_at_change(trial, crew, crew.change)
        ranks = crew.ranks_of(handle)
        if handle == crew.newcomer:
            self._lose_newcomer(trial, crew, exit_)
        elif handle != crew.main and ranks and exit_.exit_code == 0 and set(ranks) <= set(crew.leaving):
            crew.gone.update(ranks)
            if crew.change is not None and crew.outcome is not None:
                self._release_gone(trial, crew, crew.change, crew.outcome.pause_s)
        elif handle in crew.exits and (handle == crew.main or ranks):
            self._end_others(trial, crew)
        return crew.how_ended() if crew.has_ended else None

    def _lose_newcomer(self, trial: TrialProcesses, crew: Crew, exit_: LaunchExit) -> None:
        change, desk = crew.change, crew.desk
        if crew.is_ending or trial.state is not ProcessState.CHANGING or change is None or desk is None:
            return
        if crew.is_withdrawn or crew.outcome is not None:
            self._dismiss(trial, "withdrawn" if crew.outcome is None else crew.outcome.why)
        elif exit_.drained and self._too_late() and desk.withdraw(change):
            self._dismiss(trial, "deadline")  # which ends all processes
        elif desk.withdraw(change):
            self._count_failure(trial, crew, change, exit_)
            why = exit_.error or f"new processes have ended with exit code {exit_.exit_code}"
            logger.warning("Trial %d stays on %s: %s.", trial.trial_id, counted(change.before, "device"), why)
            self._dismiss(trial, why)
        else:
            desk.give_up(change)  # rank 0 has begun the change, and answers

    def _end_others(self, trial: TrialProcesses, crew: Crew) -> None:
        """A part of the processes has ended: the others do so too."""
        crew.is_ending = True
        clean = all(exit_.exit_code == 0 for exit_ in crew.exits.values())
        for handle in crew.handles:
            if handle in crew.exits or self._launcher is None:
                continue
            if handle == crew.newcomer:
                self._launcher.drain(handle, 0.0)
            elif not clean and trial.phase is not Phase.DRAINING:
                self._launcher.drain(handle, min(self._grace_s, _PEER_GRACE_S))

    def _drain_crew(self, trial: TrialProcesses, grace_s: float) -> None:
        """Has all processes of a trial checkpoint and leave; those that only get ready are killed."""
        crew = trial.crew
        if crew is None or self._launcher is None:
            return
        # Once the script has begun a change, its new processes may train already: they leave as the others do.
        is_out = crew.is_withdrawn
        if crew.desk is not None and crew.change is not None and not is_out:
            is_out = crew.desk.withdraw(crew.change)
        for handle in crew.handles:
            if handle not in crew.exits:
                self._launcher.drain(handle, 0.0 if is_out and handle == crew.newcomer else grace_s)

    def _forget_crew(self, trial: TrialProcesses) -> None:
        """No process is left."""
        if trial.crew is not None:
            trial.logs = trial.crew.logs
            for handle in trial.crew.handles:
                self._by_handle.pop(handle, None)
        trial.crew = None

    def _record_prepare(self, trial: TrialProcesses, **details: Any) -> None:
        crew = trial.crew
        if crew is not None and crew.change is not None:
            self._record("prepare", trial, to=crew.change.after, **details)
