"""What is to be done so that every trial runs on as many devices as it wants: reads the state of a fleet, no more.

:func:`~syne_hypersched.backends.shared.reconcile.reconcile` decides, on values that are made here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from syne_hypersched.backends.local._fleet_state import FleetState
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.shared.reconcile import RUNNING, Action, TrialState, reconcile


def is_as_wanted(state: FleetState) -> bool:
    """Whether all trials run on as many devices as they want, so that there is nothing to plan."""
    held = state.pool.positions_held
    return (
        state.shares.shares_per_gpu == 1
        and not state.pool.any_retiring
        and all(t.phase is RUNNING and t.wants == len(held.get(t.trial_id, ())) for t in state.trials.active)
    )


def plan(state: FleetState) -> list[Action]:
    """What is to be done next."""
    pool, shares = state.pool, state.shares.shares_per_gpu
    free = pool.free_by_node if state.one_node or shares > 1 else pool.num_free
    return reconcile(
        _trial_states(state), free, num_present=pool.num_usable, one_node=state.one_node, shares_per_gpu=shares
    )


def _trial_states(state: FleetState) -> list[TrialState]:
    is_shared = state.shares.shares_per_gpu > 1
    trials = [
        trial.as_value(
            state.pool.num_held(trial.trial_id),
            not is_shared and _can_change(state, trial),
            _useful_devices(state, trial),
        )
        for trial in state.trials.active
    ]
    if state.pool.any_retiring:
        trials = [_with_going(state, trial) for trial in trials]
    if is_shared:
        return [replace(trial, nodes=state.pool.nodes_of(trial.trial_id)) for trial in trials]
    if state.one_node:
        return [replace(trial, nodes=_staying(state, trial.trial_id)) for trial in trials]
    return trials


def _can_change(state: FleetState, trial: TrialProcesses) -> bool:
    """Whether processes can join or leave the trial, where some have to."""
    crew = trial.crew
    if crew is None or trial.phase is not RUNNING or not trial.wants:
        return False
    is_well = trial.wants == len(crew.seats) and not state.pool.num_retiring(trial.trial_id)
    return not is_well and crew.can_change


def _useful_devices(state: FleetState, trial: TrialProcesses) -> int:
    """Devices that a trial wants, of which it gets no more when its training has ended."""
    crew, holds = trial.crew, state.pool.num_held(trial.trial_id)
    if crew is None or trial.phase is not RUNNING or trial.wants <= holds or not crew.is_over:
        return trial.wants
    return holds


def _with_going(state: FleetState, trial: TrialState) -> TrialState:
    """Adds the trial's devices that are to go, and whether its processes can leave them."""
    going, crew = state.going(trial.trial_id), state.trials[trial.trial_id].crew
    if crew is None or not going or state.pool.is_lost(trial.trial_id):
        return replace(trial, retiring=len(going))
    return replace(trial, retiring=len(going), can_leave=crew.can_leave(going), is_leaving=crew.is_leaving(going))


def _staying(state: FleetState, trial_id: int) -> dict[str, int]:
    """Devices that a trial holds and that are not to go, by node."""
    stay = (device for device in state.pool.held_by(trial_id) if state.pool.is_present(device))
    return dict(Counter(map(state.pool.node_of, stay)))
