"""Does what is planned: drains, launches and changes trials, until each runs on as many devices as it wants."""

from __future__ import annotations

import time

from syne_hypersched.backends.local import _fleet_log as log
from syne_hypersched.backends.local._crew_control import CrewControl
from syne_hypersched.backends.local._fleet_state import FleetState
from syne_hypersched.backends.local._planning import is_as_wanted, plan
from syne_hypersched.backends.local._process_changes import ProcessChanges
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.shared.reconcile import Alter, Drain, Launch, Phase, Withdraw


class Reconciler:
    """See the module.

    Parameters
    ----------
    state
        The state of the fleet.
    crews, changes
        Launch, drain and change the processes of trials.

    Attributes
    ----------
    warn_at
        When trials that wait are looked for next, in monotonic seconds.
    """

    def __init__(self, state: FleetState, crews: CrewControl, changes: ProcessChanges) -> None:
        self._state = state
        self._crews = crews
        self._changes = changes
        self.warn_at = 0.0

    def reconcile(self) -> None:
        """Does what can be done now; called after every change, and at every poll."""
        state = self._state
        for action in () if is_as_wanted(state) else plan(state):
            trial = state.trials[action.trial_id]
            if isinstance(action, Drain):
                self._crews.drain(trial)
            elif isinstance(action, Withdraw):
                self._changes.withdraw(trial)
            elif isinstance(action, Alter):
                if action.num_devices < state.pool.num_held(trial.trial_id) or not state.launches.is_too_late():
                    self._changes.begin(trial, action.num_devices)
            elif self._may_launch(trial, action):
                self._crews.launch(trial, action.num_devices, action.nodes)
        self._warn_of_waiting()

    def _may_launch(self, trial: TrialProcesses, action: Launch) -> bool:
        if self._state.launches.is_too_late() or time.monotonic() < trial.clock.launch_at:
            return False
        has_room = self._state.checkpoints.admits(trial)
        return has_room and self._state.shares.has_memory(trial.trial_id, action.nodes)

    def _warn_of_waiting(self) -> None:
        state, now = self._state, time.monotonic()
        if now < self.warn_at or state.launches.is_too_late() or state.checkpoints.room.is_missing:
            return
        self.warn_at = now + min(1.0, log.PATIENCE_S)
        late = [t for t in state.trials.active if t.wants and now - t.clock.signal_time > log.PATIENCE_S]
        log.warn_of_waiting((trial for trial in late if trial.phase is Phase.IDLE), state.pool, now)
        log.warn_of_slow_start(late, now, state.checkpoints.is_arriving, state.launches.launcher)
