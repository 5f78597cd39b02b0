"""Devices of a fleet come and go while its trials run.

What runs on a device that retires is drained, and goes on on other devices or waits for one. What runs on a device that
is lost is killed, and does the same from its last checkpoint. To the tuner nothing happens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from syne_hypersched.backends.local._crew_control import CrewControl
from syne_hypersched.backends.local._fleet_state import FleetState
from syne_hypersched.backends.local._reconciler import Reconciler
from syne_hypersched.backends.shared import pool_changes
from syne_hypersched.backends.shared.reconcile import Phase

#: Events: the devices of a node get no launches for now, and get them again.
SHUT, REOPEN = "shut", "reopen"


class DeviceChanges:
    """See the module. All methods return at once and may be called from any thread.

    Parameters
    ----------
    state
        The state of the fleet.
    crews
        Kills what is being drained when its device is lost.
    reconciler
        Called after each change.

    Attributes
    ----------
    broken
        Devices that must never be used again.
    """

    def __init__(self, state: FleetState, crews: CrewControl, reconciler: Reconciler) -> None:
        self._state = state
        self._crews = crews
        self._reconciler = reconciler
        self.broken: tuple[str, ...] = ()

    def set_present(
        self,
        wanted: int | Sequence[str],
        reason: str,
        may_join: Callable[[Sequence[str]], Sequence[str]] = tuple,
        **details: Any,
    ) -> None:
        """Sets the available devices, by number or by name; broken devices stay away.

        Parameters
        ----------
        wanted
            How many, or which.
        reason
            Why, in words.
        may_join
            Filters the devices that would join.
        details
            More entries of the events.

        Raises
        ------
        TypeError, ValueError
            ``wanted`` is neither a number of devices of this machine nor a list of their names.
        """
        state = self._state
        with state.step():
            spared = state.checkpoints.publisher.incumbent(state.checkpoints.experiment)
            leading = {trial.crew.devices[0] for trial in state.trials.active if trial.crew is not None}
            leaving, joining = pool_changes.change_to(state.pool, wanted, self.broken, spared, leading)
            pool_changes.retire(state.pool, leaving, state.events.write, reason, **details)
            pool_changes.join(state.pool, tuple(may_join(joining)), state.events.write, reason, **details)
            self._reconciler.reconcile()

    def join(self, devices: Sequence[str], node: str, reason: str) -> None:
        """Adds devices of a node, known or new; broken devices stay away.

        No more join than the nominal number allows.
        """
        pool = self._state.pool
        with self._state.step():
            room = len(pool) - pool.num_present
            new = [device for device in devices if device not in (*self.broken, *pool.present)][:room]
            nodes = dict.fromkeys(new, node)
            pool_changes.join(pool, new, self._state.events.write, reason, nodes)
            self._reconciler.reconcile()

    def retire(self, devices: Sequence[str], reason: str) -> None:
        """Withdraws devices; trials on them are drained."""
        pool = self._state.pool
        with self._state.step():
            present = [device for device in devices if device in pool.present]
            pool_changes.retire(pool, present, self._state.events.write, reason)
            self._reconciler.reconcile()

    def lose(self, devices: Sequence[str], reason: str, broken: bool = False, **details: Any) -> None:
        """Records lost devices; trials on them are killed.

        Parameters
        ----------
        devices, reason, details
            The devices, why, in words, and more entries of the event.
        broken
            Whether the devices must not come back.
        """
        pool = self._state.pool
        with self._state.step():
            if broken:
                self.broken = (*self.broken, *(device for device in devices if device not in self.broken))
            there = [device for device in devices if device in (*pool.present, *pool.retiring)]
            for trial_id in pool_changes.lose(pool, there, self._state.events.write, reason, **details):
                trial = self._state.trials[trial_id]
                if trial.phase is Phase.DRAINING:
                    self._crews.signal(trial, 0.0)
            self._reconciler.reconcile()

    def shut(self, node: str, is_shut: bool, reason: str, **details: Any) -> None:
        """Stops or allows launches on the devices of a node; running trials go on."""
        pool = self._state.pool
        with self._state.step():
            pool.shut(node, is_shut)
            devices = tuple(device for device in pool.present if pool.node_of(device) == node)
            event = SHUT if is_shut else REOPEN
            self._state.events.write(event, devices=devices, reason=reason, node=node, **details)
            self._reconciler.reconcile()

    def tell_gone(self, tell: Callable[[Sequence[str]], None]) -> None:
        """Calls ``tell`` with the lost devices that no trial holds, if there are any, while no device can join."""
        with self._state.lock:
            pool = self._state.pool
            gone = [device for device in pool.away if pool.holder(device) is None]
            if gone:
                tell(gone)
