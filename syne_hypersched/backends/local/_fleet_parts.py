"""Puts a fleet together from its parts, and takes it apart to store it with its tuner.

Each part knows only those before it:

- :class:`FleetState`: devices, trials and launches, and the lock.
- :class:`CrewControl`: launches and drains the processes of a trial.
- :class:`ProcessChanges`: processes join and leave a trial while it trains.
- :class:`Reconciler`: decides the next actions of these two, so that every trial runs on the requested devices.
- :class:`DeviceChanges`: devices come and go. :class:`LauncherCallbacks`: what the launcher tells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from syne_hypersched.backends.local._crew_control import CrewControl
from syne_hypersched.backends.local._device_changes import DeviceChanges
from syne_hypersched.backends.local._fleet_state import FleetState
from syne_hypersched.backends.local._launch_ends import LaunchEnds
from syne_hypersched.backends.local._launcher_callbacks import LauncherCallbacks
from syne_hypersched.backends.local._launches import Launches
from syne_hypersched.backends.local._options import ResizeMode
from syne_hypersched.backends.local._process_changes import ProcessChanges
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.local._reconciler import Reconciler
from syne_hypersched.backends.local._shares import NOT_SHARED
from syne_hypersched.launch import LaunchSpec


@dataclass(frozen=True)
class FleetParts:
    """The parts of a fleet that it calls itself, see the module."""

    state: FleetState
    crews: CrewControl
    changes: ProcessChanges
    reconciler: Reconciler
    devices: DeviceChanges


def compose(
    state: FleetState, make_spec: Callable[[TrialProcesses, tuple[str, ...]], LaunchSpec], resize_mode: ResizeMode
) -> FleetParts:
    """Makes all other parts, and connects them to the launcher's callbacks."""
    crews = CrewControl(state, make_spec, resize_mode)
    changes = ProcessChanges(state, crews)
    reconciler = Reconciler(state, crews, changes)
    callbacks = LauncherCallbacks(state, crews, changes, LaunchEnds(state), reconciler)
    state.launches.callbacks = callbacks.as_arguments()
    return FleetParts(state, crews, changes, reconciler, DeviceChanges(state, crews, reconciler))


def store(parts: FleetParts) -> dict[str, Any]:
    """What another process can know of a fleet: all but the processes. These names are in all stored tuners."""
    state, launches, crews = parts.state, parts.state.launches, parts.crews
    return {
        "pool": state.pool,
        "shares": state.shares,
        "one_node": state.one_node,
        "resize_mode": crews.resize_mode,
        "_has_told": crews.has_told,
        "_checkpoints": state.checkpoints,
        "_events": state.events,
        "_make_launcher": launches.make_launcher,
        "_make_spec": crews.make_spec,
        "_grace_s": state.grace_s,
        "_policy": state.policy,
        "_trials": state.trials,
        "_relaunches": state.relaunches,
        "_orders": state.num_orders,
        "_warn_at": parts.reconciler.warn_at,
        "_closing": launches.is_closing,
        "_broken": parts.devices.broken,
        "_validates": state.validates,
    }


def load(stored: Mapping[str, Any]) -> FleetParts:
    """The parts of a copy in another process, where nothing runs: what was running is at its last checkpoint here.

    Tuners of older versions lack some names.
    """
    launches = Launches(stored["_make_launcher"])
    launches.is_closing = stored.get("_closing", False)
    state = FleetState(
        stored["pool"], launches, stored["_events"], stored["_checkpoints"], stored["_policy"], stored["_grace_s"],
        stored.get("shares", NOT_SHARED),
    )  # fmt: skip
    state.trials = stored["_trials"]
    state.num_orders = stored["_orders"]
    state.relaunches = stored.get("_relaunches", state.relaunches)
    state.one_node = stored.get("one_node", state.one_node)
    state.validates = stored.get("_validates", state.validates)
    parts = compose(state, stored["_make_spec"], stored.get("resize_mode", "auto"))
    parts.crews.has_told = stored.get("_has_told", False)
    parts.reconciler.warn_at = stored.get("_warn_at", 0.0)
    parts.devices.broken = stored.get("_broken", ())
    for trial in state.trials.values():
        trial.lose_processes()
        state.pool.release(trial.trial_id)
        state.trials.place(trial)
    return parts
