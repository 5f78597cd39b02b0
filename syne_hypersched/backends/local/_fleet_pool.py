"""Devices of a fleet come and go while its trials run.

What runs on a device that retires is drained, and goes on on other devices or waits for one. What runs on a device that
is lost is killed, and does the same from its last checkpoint. To the tuner nothing happens.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from syne_hypersched.backends.local import _fleet_log as log
from syne_hypersched.backends.local._changing_fleet import POOL, ChangingFleet
from syne_hypersched.backends.local._checkpoints import Checkpoints
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.local._shares import NOT_SHARED, GpuShares
from syne_hypersched.backends.shared import pool_changes
from syne_hypersched.backends.shared.reconcile import RUNNING, Action, Phase, TrialState, reconcile
from syne_hypersched.launch import Launcher, LaunchExit

logger = logging.getLogger(__name__)

#: Events: the devices of a node get no launches for now, and get them again.
SHUT, REOPEN = "shut", "reopen"


class BreathingFleet(ChangingFleet):
    """See the module."""

    _checkpoints: Checkpoints
    _launcher: Launcher | None
    _grace_s: float
    #: Whether all devices of a launch must be of one node.
    one_node = False
    #: How GPUs are shared; by default they are not.
    shares: GpuShares = NOT_SHARED
    #: Devices that must not be used any more, whoever asks for them.
    _broken: tuple[str, ...] = ()

    def set_present(
        self,
        wanted: int | Sequence[str],
        reason: str,
        may_join: Callable[[Sequence[str]], Sequence[str]] = tuple,
        **details: Any,
    ) -> None:
        """Has a number of devices there, or certain ones; broken ones stay away.

        Parameters
        ----------
        wanted
            How many, or which.
        reason
            Why, in words.
        may_join
            Takes devices that would join, and returns those that may.
        details
            More entries of the events.

        Raises
        ------
        TypeError, ValueError
            ``wanted`` is neither a number of devices of this machine nor a list of their names.
        """
        with self._step():
            spared = self._checkpoints.publisher.incumbent(self._checkpoints.experiment)
            leading = {trial.crew.devices[0] for trial in self._trials.active if trial.crew is not None}
            leaving, joining = pool_changes.change_to(self.pool, wanted, self._broken, spared, leading)
            pool_changes.retire(self.pool, leaving, self._events.write, reason, **details)
            pool_changes.join(self.pool, tuple(may_join(joining)), self._events.write, reason, **details)
            self._reconcile()

    def join(self, devices: Sequence[str], node: str, reason: str) -> None:
        """Devices of a node are there, which may never have been there before; broken ones stay away.

        No more join than the nominal number allows.
        """
        with self._step():
            room = len(self.pool) - self.pool.num_present
            new = [device for device in devices if device not in (*self._broken, *self.pool.present)][:room]
            nodes = dict.fromkeys(new, node)
            pool_changes.join(self.pool, new, self._events.write, reason, nodes)
            self._reconcile()

    def retire(self, devices: Sequence[str], reason: str) -> None:
        """Devices are to go; what runs on them is drained."""
        with self._step():
            present = [device for device in devices if device in self.pool.present]
            pool_changes.retire(self.pool, present, self._events.write, reason)
            self._reconcile()

    def lose(self, devices: Sequence[str], reason: str, broken: bool = False, **details: Any) -> None:
        """Devices are gone; what runs on them is killed.

        Parameters
        ----------
        devices, reason, details
            The devices, why, in words, and more entries of the event.
        broken
            Whether they must not come back.
        """
        with self._step():
            if broken:
                self._broken = (*self._broken, *(device for device in devices if device not in self._broken))
            there = [device for device in devices if device in (*self.pool.present, *self.pool.retiring)]
            for trial_id in pool_changes.lose(self.pool, there, self._events.write, reason, **details):
                trial = self._trials[trial_id]
                if trial.phase is Phase.DRAINING and self._launcher is not None and trial.handle is not None:
                    self._drain_crew(trial, 0.0)
            self._reconcile()

    def shut(self, node: str, is_shut: bool, reason: str, **details: Any) -> None:
        """The devices of a node get no launches for now, or get them again; what runs there goes on."""
        with self._step():
            self.pool.shut(node, is_shut)
            devices = tuple(device for device in self.pool.present if self.pool.node_of(device) == node)
            self._events.write(SHUT if is_shut else REOPEN, devices=devices, reason=reason, node=node, **details)
            self._reconcile()

    def tell_gone(self, tell: Callable[[Sequence[str]], None]) -> None:
        """Calls ``tell`` with the devices that are gone and held by nobody, if there are any, while none can join."""
        with self._lock:
            pool = self.pool
            gone = [device for device in pool.away if pool.holder(device) is None]
            if gone:
                tell(gone)

    def _states(self) -> list[TrialState]:
        is_shared = self.shares.shares_per_gpu > 1
        states = [
            trial.as_value(
                self.pool.num_held(trial.trial_id),
                not is_shared and self._can_change(trial),
                self._useful(trial),
            )
            for trial in self._trials.active
        ]
        if self.pool.any_retiring:
            states = [self._with_going(state) for state in states]
        if is_shared:
            return [replace(state, nodes=self.pool.nodes_of(state.trial_id)) for state in states]
        return [replace(state, nodes=self._staying(state.trial_id)) for state in states] if self.one_node else states

    def _with_going(self, state: TrialState) -> TrialState:
        """What reconciliation has to know of a trial's devices that are to go."""
        trial = self._trials[state.trial_id]
        going, crew = self._going(trial), trial.crew
        if crew is None or not going or self.pool.is_lost(state.trial_id):
            return replace(state, retiring=len(going))
        return replace(state, retiring=len(going), can_leave=crew.can_leave(going), is_leaving=crew.is_leaving(going))

    def _plan(self) -> list[Action]:
        pool, shares = self.pool, self.shares.shares_per_gpu
        free = pool.free_by_node if self.one_node or shares > 1 else pool.num_free
        return reconcile(
            self._states(), free, num_present=pool.num_usable, one_node=self.one_node, shares_per_gpu=shares
        )

    def _is_as_wanted(self) -> bool:
        """Whether all trials run on as many devices as they want, so that there is nothing to plan."""
        held = self.pool.positions_held
        return (
            self.shares.shares_per_gpu == 1
            and not self.pool.any_retiring
            and all(t.phase is RUNNING and t.wants == len(held.get(t.trial_id, ())) for t in self._trials.active)
        )

    def _num_nodes(self, trial_id: int) -> int:
        """On how many nodes a trial is. GPUs that are shared are nodes of the pool, but of one machine."""
        return 1 if self.shares.shares_per_gpu > 1 else len(self.pool.nodes_of(trial_id))

    def _staying(self, trial_id: int) -> dict[str, int]:
        """Devices that a trial holds and that are not to go, by node."""
        stay = (device for device in self.pool.held_by(trial_id) if self.pool.is_present(device))
        return dict(Counter(map(self.pool.node_of, stay)))

    def _drain(self, trial: TrialProcesses, stalled: bool = False) -> None:
        if self._launcher is None or trial.handle is None:
            return
        trial.begin_drain(stalled, POOL if self.pool.num_retiring(trial.trial_id) else "resize")
        trial.clock.expect_launch()
        grace_s = 0.0 if self.pool.is_lost(trial.trial_id) else self._grace_s
        self._drain_crew(trial, grace_s)
        why = self._explain_relaunch(trial)
        self._record("drain", trial, trial.drain_reason, grace_s=grace_s, **({"not_in_place": why} if why else {}))

    def _end_if_stalled(self, trial: TrialProcesses) -> None:
        silent_s = trial.clock.silent_s()
        if trial.phase in (Phase.RUNNING, Phase.CHANGING) and trial.wants and self._policy.has_stalled(silent_s):
            log.warn_of_stall(trial, silent_s)
            self._drain(trial, stalled=True)

    def _retry_alone(self, trial: TrialProcesses, exit_: LaunchExit) -> None:
        """A trial has run out of memory beside others: that is no failure of its own."""
        self.shares.set_alone(trial.trial_id)
        reason = "it ran out of memory on a GPU that it shares, and goes on alone on one"
        logger.warning("Trial %d: %s. Log: %s", trial.trial_id, reason, trial.failed_log(exit_))
        trial.clock.expect_launch()
        self._record("retry", trial, reason, exit_code=exit_.exit_code, log=str(trial.failed_log(exit_)))
        trial.resize(self.shares.wanted(trial.trial_id, trial.wants), self._next_order())

    def _record(self, event: str, trial: TrialProcesses, reason: str = "", **details: Any) -> None:
        self._events.write(event, trial.trial_id, self.pool.held_by(trial.trial_id), trial.launch, reason, **details)

    def _reconcile(self) -> None:
        raise NotImplementedError

    def _next_order(self) -> int:
        raise NotImplementedError
