"""What the launcher tells a fleet, in the launcher's own thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from syne_hypersched.backends.local._crew_control import CrewControl
from syne_hypersched.backends.local._fleet_state import FleetState
from syne_hypersched.backends.local._launch_ends import LaunchEnds
from syne_hypersched.backends.local._process_changes import ProcessChanges
from syne_hypersched.backends.local._reconciler import Reconciler
from syne_hypersched.checkpoints import Beginning, Matched
from syne_hypersched.launch import LaunchExit, identify


class LauncherCallbacks:
    """See the module. :class:`~syne_hypersched.launch.Launcher` says when the methods are called.

    Parameters
    ----------
    state
        The state of the fleet.
    crews, changes, ends, reconciler
        The parts of the fleet that are notified.
    """

    def __init__(
        self,
        state: FleetState,
        crews: CrewControl,
        changes: ProcessChanges,
        ends: LaunchEnds,
        reconciler: Reconciler,
    ) -> None:
        self._state = state
        self._crews = crews
        self._changes = changes
        self._ends = ends
        self._reconciler = reconciler

    def as_arguments(self) -> Mapping[str, Callable[..., None]]:
        """The methods, as arguments of the launcher."""
        return {
            "on_launched": self.on_launched,
            "on_exit": self.on_exit,
            "on_checkpoint": self.on_checkpoint,
            "on_left": self.on_left,
        }

    def on_launched(self, handle: int, pids: list[int], moment: float) -> None:
        """The processes of a launch exist."""
        state = self._state
        with state.told():
            trial = state.trial_of(handle)
            if handle != trial.handle:
                self._changes.hear_launched(trial, pids)
                return
            trial.clock.hear()
            if trial.waits_for_server:
                # The import of the preloaded modules happens once; it must not count as the cost of a launch.
                trial.waits_for_server = False
                trial.count_from_now()
            ahead_s = trial.reports.stream.clock_ahead_s
            clock: dict[str, Any] = {"clock_ahead_s": ahead_s} if ahead_s else {}
            state.record("launch", trial, **identify(pids), wait_s=moment - trial.clock.signal_time, **clock)

    def on_checkpoint(self, handle: int, news: Beginning | Matched) -> None:
        """A launch has begun from a checkpoint, or the checkpoint of a report has been found."""
        with self._state.told():
            self._state.checkpoints.hear(self._state.trial_of(handle), news)

    def on_left(self, handle: int, index: int) -> None:
        """Records that a process has exited while others of its launch go on."""
        with self._state.told():
            if self._changes.hear_left(handle, index):
                self._reconciler.reconcile()
                self._state.changed.notify_all()

    def on_exit(self, handle: int, exit_: LaunchExit, moment: float) -> None:
        """The last process of a launch was reaped."""
        state = self._state
        with state.lock:
            trial = state.trial_of(handle)
            is_first = handle == trial.handle
        if is_first:
            trial.reports.tail.look(to_the_end=True)  # without the lock: it may be many megabytes
        with state.told():
            ended = self._changes.hear_exit(trial, handle, exit_)
            if ended is not None:
                self._crews.forget(trial)
                state.read_reports(trial, to_the_end=True)
                self._ends.hear(trial, ended, moment)
            self._reconciler.reconcile()
            state.changed.notify_all()
