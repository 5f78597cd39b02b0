"""Processes that join and leave trials while these train; ``docs/joining.md`` has the protocol.

A change is ordered, and may be withdrawn until the script carries it out. What becomes of it is seen on the trial's
desk, in reports of the launcher, and in how the new processes end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from syne_hypersched._resize_desk import RankChange
from syne_hypersched._wording import counted
from syne_hypersched.backends.local._crew import Crew
from syne_hypersched.backends.local._crew_control import CrewControl
from syne_hypersched.backends.local._fleet_state import FleetState
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.local._states import ProcessState
from syne_hypersched.backends.shared import pool_changes
from syne_hypersched.launch import LaunchExit, identify

logger = logging.getLogger(__name__)

#: Seconds that new processes may take until they are ready.
PREPARE_TIMEOUT_S = 600.0


class ProcessChanges:
    """See the module.

    Parameters
    ----------
    state
        The state of the fleet.
    crews
        Launches new processes, and drains a trial whose change cannot be carried out.
    """

    def __init__(self, state: FleetState, crews: CrewControl) -> None:
        self._state = state
        self._crews = crews

    # Orders.

    def begin(self, trial: TrialProcesses, num_devices: int) -> None:
        """Orders a change of the number of devices of a trial while it trains."""
        crew = trial.crew
        if crew is None or crew.desk is None:
            return
        change = crew.next_change(num_devices, self._state.going(trial.trial_id))
        if change.new_ranks and time.monotonic() < crew.not_before:
            return
        try:
            crew.desk.order(change)
        except OSError as error:
            logger.warning("Trial %d is relaunched, since a change cannot be written: %s", trial.trial_id, error)
            crew.desk = None
            self._crews.drain(trial)
            return
        crew.begin(change)
        trial.begin_change(num_devices)
        if change.new_ranks:
            self._crews.launch_newcomers(trial, crew, crew.desk, change)

    def withdraw(self, trial: TrialProcesses, reason: str = "") -> bool:
        """Gives up the change of a trial, by default for an order; False if it has begun, or was given up before."""
        reason = reason or ("devices are to go" if self._state.going(trial.trial_id) else "another order")
        crew = trial.crew
        if crew is None or crew.desk is None or crew.change is None or crew.is_withdrawn:
            return False
        if not crew.desk.withdraw(crew.change):
            return False  # it is carried out first
        crew.is_withdrawn = True
        self._state.record("withdraw", trial, reason, to=crew.change.after)
        self._dismiss(trial, crew, reason)
        return True

    # What becomes of changes.

    def look(self) -> None:
        """Takes note of what has become of the changes of all trials."""
        for trial in self._state.trials.active:
            if trial.crew is not None and trial.crew.change is not None:
                self._look_at(trial, trial.crew, trial.crew.change)

    def hear_launched(self, trial: TrialProcesses, pids: list[int]) -> None:
        """New processes of a trial exist, and get ready."""
        if trial.crew is not None and trial.crew.change is not None:
            self._state.record("prepare", trial, to=trial.crew.change.after, **identify(pids))

    def hear_left(self, handle: int, index: int) -> bool:
        """A process has exited while others of its launch go on: perhaps it was to leave.

        Returns
        -------
        bool
            Whether it is one of the processes that train.
        """
        trial_id = self._state.launches.trial_ids.get(handle)
        crew = None if trial_id is None else self._state.trials[trial_id].crew
        rank = None if crew is None else crew.rank_of(handle, index)
        if crew is None or rank is None:
            return False
        crew.gone.add(rank)
        self.look()
        return True

    def hear_exit(self, trial: TrialProcesses, handle: int, exit_: LaunchExit) -> LaunchExit | None:
        """A launch has ended.

        Returns
        -------
        LaunchExit or None
            How all processes of the trial have ended; None: some are left.
        """
        crew = trial.crew
        if crew is None:
            return exit_
        crew.exits[handle] = exit_
        if crew.change is not None:
            self._look_at(trial, crew, crew.change)
        ranks = crew.ranks_of(handle)
        if handle == crew.newcomer:
            self._hear_newcomers_exit(trial, crew, exit_)
        elif handle != crew.main and ranks and exit_.exit_code == 0 and set(ranks) <= set(crew.leaving):
            crew.gone.update(ranks)
            if crew.change is not None and crew.outcome is not None:
                self._release_gone(trial, crew, crew.change, crew.outcome.pause_s)
        elif handle in crew.exits and (handle == crew.main or ranks):
            self._crews.end_others(trial, crew)
        return crew.how_ended() if crew.has_ended else None

    def _look_at(self, trial: TrialProcesses, crew: Crew, change: RankChange) -> None:
        trial.hear_change()
        if crew.desk is None or crew.is_withdrawn:
            return
        if not crew.is_ready and change.new_ranks:
            ready = crew.desk.ready_times(change)
            if len(ready) == len(change.new_ranks):
                crew.is_ready = True
                prepare_s = max(0.0, max(ready.values()) - crew.ordered_timestamp)
                self._state.record("ready", trial, prepare_s=prepare_s)
        if trial.state is not ProcessState.CHANGING:
            return
        outcome = crew.outcome
        if outcome is None:
            self._give_up_if_late(trial, crew, change)
        elif not outcome.is_done:
            crew.is_withdrawn = True  # this is done once, and the change is over when the new processes are reaped
            if not crew.is_over:
                exit_ = None if crew.newcomer is None else crew.exits.get(crew.newcomer)
                self._count_failure(trial, crew, change, exit_)
            self._state.record("unchanged", trial, outcome.why, to=change.after)
            self._dismiss(trial, crew, outcome.why)
        elif change.new_ranks:
            handle = crew.newcomer
            crew.seat_newcomers()
            self._state.record(
                "joined", trial, pause_s=outcome.pause_s, transfer_s=outcome.transfer_s,
                change_s=outcome.time - crew.ordered_timestamp,
            )  # fmt: skip
            crew.num_failed = 0
            self._settle(trial, crew)
            if handle in crew.exits:  # it has ended since
                self._crews.end_others(trial, crew)
        else:
            self._release_gone(trial, crew, change, outcome.pause_s)

    def _give_up_if_late(self, trial: TrialProcesses, crew: Crew, change: RankChange) -> None:
        """Withdraws a change for which it is too late, or which takes too long."""
        waited_s = time.monotonic() - crew.ordered_at
        if change.new_ranks and crew.is_over:
            self.withdraw(trial, "the run has ended")
        elif change.new_ranks and not crew.is_ready and waited_s > PREPARE_TIMEOUT_S:
            if self.withdraw(trial, f"not ready after {waited_s:.0f} s"):
                crew.num_failed += 1
        elif not change.new_ranks and waited_s > self._state.grace_s:
            # As a script that does not react to SIGTERM in time.
            self.withdraw(trial, f"no step has ended within {waited_s:.1f} s")
            crew.num_failed += 1
            self._crews.drain(trial)

    def _release_gone(self, trial: TrialProcesses, crew: Crew, change: RankChange, pause_s: float) -> None:
        """Takes the devices from processes that have left, as soon as each of them is reaped."""
        if not crew.gone.issuperset(crew.leaving):
            return
        devices, launches = crew.clear_seats(change.gone)
        for handle in launches:
            if handle in crew.exits:
                self._crews.forget_launch(crew, handle)
        self._give_back(trial, "left", devices, pause_s=pause_s, change_s=time.monotonic() - crew.ordered_at)
        crew.num_failed = 0
        self._settle(trial, crew)

    def _hear_newcomers_exit(self, trial: TrialProcesses, crew: Crew, exit_: LaunchExit) -> None:
        """The new processes of a change have ended before they have joined, as far as is known."""
        change, desk = crew.change, crew.desk
        if crew.is_ending or trial.state is not ProcessState.CHANGING or change is None or desk is None:
            return
        if crew.is_withdrawn or crew.outcome is not None:
            self._dismiss(trial, crew, "withdrawn" if crew.outcome is None else crew.outcome.why)
        elif exit_.drained and self._state.launches.is_too_late() and desk.withdraw(change):
            self._dismiss(trial, crew, "deadline")  # which ends all processes
        elif desk.withdraw(change):
            self._count_failure(trial, crew, change, exit_)
            why = exit_.error or f"new processes have ended with exit code {exit_.exit_code}"
            logger.warning("Trial %d stays on %s: %s.", trial.trial_id, counted(change.before, "device"), why)
            self._dismiss(trial, crew, why)
        else:
            desk.give_up(change)  # rank 0 has begun the change, and answers

    def _count_failure(self, trial: TrialProcesses, crew: Crew, change: RankChange, exit_: LaunchExit | None) -> None:
        crew.num_failed += 1
        crew.not_before = time.monotonic() + self._state.policy.backoff_s(crew.num_failed)
        has_failed = exit_ is not None and not exit_.lost and not exit_.drained and exit_.exit_code != 0
        if has_failed and change.new_ranks and trial.failures.fail_to_grow(change.after):
            # It goes back to the number that works, which it has never left.
            trial.resize(min(trial.wants, change.before), self._state.next_order())

    # The end of a change.

    def _dismiss(self, trial: TrialProcesses, crew: Crew, reason: str) -> None:
        """Ends the new processes of a change that is not carried out. Without any, the change is over."""
        if crew.newcomer is not None and crew.newcomer not in crew.exits:
            self._state.launches.drain(crew.newcomer, 0.0)
            return
        if crew.newcomer is not None:
            self._crews.forget_launch(crew, crew.newcomer)
            self._give_back(trial, "abandon", crew.new_devices, reason)
        self._settle(trial, crew)

    def _give_back(
        self, trial: TrialProcesses, event: str, devices: Sequence[str], reason: str = "", **details: Any
    ) -> None:
        """A trial that trains holds some devices no more; the event says why."""
        self._state.pool.give_back(trial.trial_id, devices)
        self._state.record(event, trial, reason, **details)
        pool_changes.tell_freed(self._state.pool, devices, self._state.events.write)

    def _settle(self, trial: TrialProcesses, crew: Crew) -> None:
        crew.end_change()
        if trial.state is ProcessState.CHANGING:
            trial.settle()
