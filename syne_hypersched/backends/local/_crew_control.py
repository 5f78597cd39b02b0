"""Starts the processes of trials, and ends them: a crew is launched, drained, and forgotten when all have ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from syne_hypersched._resize_desk import RankChange, ResizeDesk
from syne_hypersched._wording import counted
from syne_hypersched.backends.local import _fleet_log as log
from syne_hypersched.backends.local._crew import Crew, changeable, joining
from syne_hypersched.backends.local._fleet_state import FleetState
from syne_hypersched.backends.local._options import ResizeMode
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.shared.reconcile import Phase
from syne_hypersched.launch import LaunchSpec

logger = logging.getLogger(__name__)

#: When one launch of a trial has failed, the others wait for it in a collective: they get this long to end too.
_PEER_GRACE_S = 2.0
#: Reason for draining a trial on a leaving device.
POOL = "pool"
#: Name of the folder for changes, beside the logs of a trial.
_FOLDER = "resizes"


class CrewControl:
    """See the module. No method waits for a process.

    Parameters
    ----------
    state
        The state of the fleet.
    make_spec
        Makes the launch of a trial on devices: ``make_spec(processes, devices)``.
    resize_mode
        Whether processes may join and leave trials while these train.

    Attributes
    ----------
    has_told
        Whether the user was told that processes cannot join some trial.
    """

    def __init__(
        self,
        state: FleetState,
        make_spec: Callable[[TrialProcesses, tuple[str, ...]], LaunchSpec],
        resize_mode: ResizeMode,
    ) -> None:
        self._state = state
        self.make_spec = make_spec
        self.resize_mode = resize_mode
        self.has_told = False

    def launch(self, trial: TrialProcesses, num_devices: int, nodes: Mapping[str, int]) -> None:
        """Launches a trial on a number of free devices, on certain nodes if that matters."""
        state = self._state
        devices = state.pool.acquire(trial.trial_id, num_devices, nodes)
        # GPUs that are shared are nodes of the pool, but of one machine.
        num_nodes = 1 if state.shares.shares_per_gpu > 1 else len(state.pool.nodes_of(trial.trial_id))
        trial.begin_launch(num_devices, num_nodes)
        spec = replace(self.make_spec(trial, devices), checkpoints=state.checkpoints.spec(trial))
        trial.waits_for_server = not state.launches.is_server_ready()
        desk = None
        if self.resize_mode != "relaunch" and len(spec.ranks) == len(devices):
            desk = ResizeDesk(trial.stdout_path.parent / _FOLDER)
            try:
                desk.open()
                spec = changeable(spec, desk)
            except OSError as error:
                logger.warning("Trial %d is relaunched for each resize: %s", trial.trial_id, error)
                desk = None
        handle = state.launches.launch(spec, trial.trial_id)
        trial.crew = Crew(handle, devices, len(spec.ranks), desk)
        trial.take_handle(handle)

    def launch_newcomers(self, trial: TrialProcesses, crew: Crew, desk: ResizeDesk, change: RankChange) -> None:
        """Launches the new processes of a change, on free devices."""
        crew.new_devices = self._state.pool.extend(trial.trial_id, len(change.new_ranks))
        spec = self.make_spec(trial, (*crew.devices, *crew.new_devices))
        crew.newcomer = self._state.launches.launch(joining(spec, change, desk), trial.trial_id)

    def drain(self, trial: TrialProcesses, stalled: bool = False) -> None:
        """Has all processes of a trial checkpoint and leave, or killed where a device of theirs is lost."""
        pool = self._state.pool
        if self._state.launches.launcher is None or trial.handle is None:
            return
        trial.begin_drain(stalled, POOL if pool.num_retiring(trial.trial_id) else "resize")
        trial.clock.expect_launch()
        grace_s = 0.0 if pool.is_lost(trial.trial_id) else self._state.grace_s
        self.signal(trial, grace_s)
        why = self._explain_relaunch(trial)
        details = {"not_in_place": why} if why else {}
        self._state.record("drain", trial, trial.drain_reason, grace_s=grace_s, **details)

    def drain_if_stalled(self, trial: TrialProcesses) -> None:
        """Drains a trial that has not reported for too long."""
        silent_s = trial.clock.silent_s()
        is_training = trial.phase in (Phase.RUNNING, Phase.CHANGING) and trial.wants
        if is_training and self._state.policy.has_stalled(silent_s):
            log.warn_of_stall(trial, silent_s)
            self.drain(trial, stalled=True)

    def signal(self, trial: TrialProcesses, grace_s: float) -> None:
        """Sends SIGTERM to the processes of a trial, and SIGKILL after a time. Those that only get ready are killed."""
        crew, launches = trial.crew, self._state.launches
        if crew is None or launches.launcher is None:
            return
        # Once the script has begun a change, its new processes may train already: they leave as the others do.
        is_out = crew.is_withdrawn
        if crew.desk is not None and crew.change is not None and not is_out:
            is_out = crew.desk.withdraw(crew.change)
        for handle in crew.handles:
            if handle not in crew.exits:
                launches.drain(handle, 0.0 if is_out and handle == crew.newcomer else grace_s)

    def end_others(self, trial: TrialProcesses, crew: Crew) -> None:
        """A part of the processes has ended: the others do so too."""
        crew.is_ending = True
        clean = all(exit_.exit_code == 0 for exit_ in crew.exits.values())
        for handle in crew.handles:
            if handle in crew.exits:
                continue
            if handle == crew.newcomer:
                self._state.launches.drain(handle, 0.0)
            elif not clean and trial.phase is not Phase.DRAINING:
                self._state.launches.drain(handle, min(self._state.grace_s, _PEER_GRACE_S))

    def forget_launch(self, crew: Crew, handle: int) -> None:
        """The processes of one launch have left the others."""
        self._state.launches.forget(handle)
        crew.exits.pop(handle, None)

    def forget(self, trial: TrialProcesses) -> None:
        """No process of a trial is left."""
        if trial.crew is not None:
            trial.logs = trial.crew.logs
            for handle in trial.crew.handles:
                self._state.launches.forget(handle)
        trial.crew = None

    def _explain_relaunch(self, trial: TrialProcesses) -> str:
        """Why a trial that is drained for a resize cannot be resized in place; empty if there is nothing to say.

        The first one is warned of.
        """
        crew = trial.crew
        if crew is None or trial.drain_reason not in ("resize", POOL) or self._state.pool.is_lost(trial.trial_id):
            return ""
        why = crew.why_unable
        if not why and crew.can_change and not crew.can_leave(self._state.going(trial.trial_id)):
            why = "the device of its first process, which leads every change, is to go"
        if self.resize_mode == "in_place" and why and not self.has_told:
            self.has_told = True
            logger.warning(
                "Trial %d is launched again %s, although resize is 'in_place': %s. docs/joining.md "
                "says what it needs. Further relaunches give no warning; their events have the reason.",
                trial.trial_id,
                "as devices are to go" if trial.drain_reason == POOL
                else f"for a resize to {counted(trial.wants, 'device')}",
                why,
            )  # fmt: skip
        return why
