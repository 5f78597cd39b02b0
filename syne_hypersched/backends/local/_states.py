"""The states of a trial whose trainings are processes of this machine, and the transitions between them.

``docs/trial-states.md`` has the diagram. What a transition does not allow raises :class:`IllegalStateError`, whose
message has the trial's story: a fault of this package, never of a user's script.
"""

from __future__ import annotations

import time
from collections import deque
from enum import Enum
from typing import NoReturn

from syne_tune.backend.trial_status import Status

from syne_hypersched.backends.shared.reconcile import Phase, TrialState

#: Number of a trial's last transitions in its story.
_LONGEST_STORY = 100


class ProcessState(Enum):
    """Where a trial is between its start and its end."""

    NEW = "new"
    """Known, and not started yet."""
    WAITING = "waiting"
    """Started or resumed by the tuner; it has no process and waits for devices."""
    RETURNING = "returning"
    """It has no process and waits to go on, after a resize, a lost launch or a failure; it comes before those that are
    new."""
    RUNNING = "running"
    """Its processes exist, or are being started."""
    CHANGING = "changing"
    """Its processes train, while others get ready to join them, or some of them are to leave."""
    DRAINING = "draining"
    """Its processes were asked to checkpoint and exit, and the last one has not been reaped."""
    PAUSED = "paused"
    """Paused by the scheduler; it has no process."""
    ENDED = "ended"
    """Completed, failed or stopped; it has no process. The tuner may still pause it, at its last report."""


#: What reconciliation calls each state.
_PHASE = dict.fromkeys(ProcessState, Phase.IDLE)
_PHASE |= {
    ProcessState.RUNNING: Phase.RUNNING,
    ProcessState.CHANGING: Phase.CHANGING,
    ProcessState.DRAINING: Phase.DRAINING,
}

#: From which states each transition is legal.
LEGAL: dict[str, frozenset[ProcessState]] = {
    "start": frozenset({ProcessState.NEW, ProcessState.PAUSED, ProcessState.DRAINING}),
    "resize": frozenset(set(ProcessState) - {ProcessState.NEW, ProcessState.PAUSED, ProcessState.ENDED}),
    "halt": frozenset(ProcessState),
    "launch": frozenset({ProcessState.WAITING, ProcessState.RETURNING}),
    "change": frozenset({ProcessState.RUNNING}),
    "settle": frozenset({ProcessState.CHANGING}),
    "drain": frozenset({ProcessState.RUNNING, ProcessState.CHANGING}),
    "exit": frozenset({ProcessState.RUNNING, ProcessState.CHANGING, ProcessState.DRAINING}),
    "finish": frozenset({ProcessState.RETURNING}),
}


class IllegalStateError(RuntimeError):
    """A transition from a state in which it makes no sense, or a state that contradicts itself."""


class StateMachine:
    """One trial's state. It changes by the methods below and by nothing else.

    Parameters
    ----------
    trial_id
        The trial.
    status
        Its status in the tuner's terms: in progress if it is new, else that of a trial which is taken over.
    launch
        Index of its last launch, -1 if there was none.

    Attributes
    ----------
    state
        Where it is.
    phase
        The same in the terms of :func:`~syne_hypersched.backends.shared.reconcile.reconcile`.
    wants
        Devices on which it is to run; 0 while it is not to run.
    status
        What the tuner is told; paused, stopped, completed or failed from the moment at which that is ordered or known.
    order
        Position of the last order among all orders.
    launch
        Index of the last launch, counted from 0.
    handle
        The launcher's number of the launch that lives.
    drain_reason
        Why the launch is being drained: resize, pause, stop, stall or deadline.
    becomes
        Devices to which it changes while it trains; 0 in any other state.
    stalled
        Whether the launch is being drained because it has not reported for too long.
    """

    def __init__(self, trial_id: int, status: str = Status.in_progress, launch: int = -1) -> None:
        self.trial_id = trial_id
        self.state = ProcessState.NEW
        self.phase = Phase.IDLE
        self.wants = 0
        self.status = status
        self.order = 0
        self.launch = launch
        self.handle: int | None = None
        self.drain_reason = ""
        self.becomes = 0
        self.stalled = False
        self._story: deque[tuple[float, str]] = deque(maxlen=_LONGEST_STORY)
        if status != Status.in_progress:
            self._rest("take over")

    def __getstate__(self) -> dict[str, object]:
        # The launcher's thread may add to the story while the tuner stores itself.
        return {**self.__dict__, "_story": self._story.copy()}

    # Orders.

    def start(self, num_devices: int, order: int) -> None:
        """The tuner starts or resumes the trial."""
        self._require("start", num_devices > 0, f"on {num_devices} devices")
        is_draining = self.state is ProcessState.DRAINING
        self._require("start", not (is_draining and self.wants), "although it is to run already")
        self.wants, self.status, self.order = num_devices, Status.in_progress, order
        self._to("start", ProcessState.DRAINING if is_draining else ProcessState.WAITING)

    def resize(self, num_devices: int, order: int) -> None:
        """The trial is to run on another number of devices."""
        self._require("resize", num_devices > 0 and self.wants > 0, f"to {num_devices} devices")
        self.wants, self.order = num_devices, order
        self._to("resize", self.state)

    def halt(self, status: str, reason: str, order: int) -> None:
        """The trial is not to run any more.

        Parameters
        ----------
        status
            What the tuner is told from now on: ``Status.paused`` or ``Status.stopped``.
        reason
            Why its processes are drained, if there are any.
        order
            Position of this order.
        """
        self._require("halt", status in (Status.paused, Status.stopped), f"with status {status}")
        self.status, self.drain_reason, self.wants, self.order = status, reason, 0, order
        if self.phase is Phase.IDLE:
            self._rest(reason)
        else:
            self._to(reason, self.state)

    # What happens to its processes.

    def begin_launch(self, num_devices: int) -> None:
        """The next launch begins, on a number of devices."""
        self._require("launch", 0 < num_devices <= self.wants, f"on {num_devices} devices")
        self.launch += 1
        self.drain_reason = ""
        self._to("launch", ProcessState.RUNNING)

    def take_handle(self, handle: int) -> None:
        """The launcher has taken the order for the launch that has begun."""
        if self.state is not ProcessState.RUNNING or self.handle is not None:
            self.fail_with(f"takes handle {handle} of a launch, but has {self.handle}")
        self.handle = handle

    def begin_change(self, num_devices: int) -> None:
        """Processes are to join or to leave, until the trial runs on another number of devices."""
        self._require("change", 0 < num_devices <= self.wants and self.handle is not None, f"to {num_devices} devices")
        self.becomes = num_devices
        self._to("change", ProcessState.CHANGING)

    def settle(self) -> None:
        """The change is over: carried out, failed or withdrawn."""
        self._require("settle", True, "")
        self.becomes = 0
        self._to("settle", ProcessState.RUNNING)

    def begin_drain(self, stalled: bool = False, reason: str = "resize") -> None:
        """The processes are asked to checkpoint and exit: because they have ``stalled``, for an order, or to go on."""
        self._require("drain", self.handle is not None, "without a handle")
        if stalled:
            self.stalled, self.drain_reason = True, "stall"
        elif self.wants:
            self.drain_reason = reason
        self.becomes = 0
        self._to("drain", ProcessState.DRAINING)

    def exit(self) -> None:
        """The last process was reaped: a trial that is to run waits to go on, unless :meth:`finish` follows."""
        self._require("exit", self.handle is not None, "without a handle")
        self.handle, self.drain_reason, self.stalled, self.becomes = None, "", False, 0
        if self.wants:
            self._to("exit", ProcessState.RETURNING)
        else:
            self._rest("exit")

    def finish(self, status: str, order: int) -> None:
        """The trial has ended by itself: completed, failed for good, or stopped since it had nothing left to train."""
        ends = (Status.completed, Status.failed, Status.stopped)
        self._require("finish", status in ends, f"with status {status}")
        self.status, self.wants, self.order = status, 0, order
        self._rest(status)

    def lose_processes(self) -> None:
        """Called in a copy in another process: nothing runs here, and what ran there is at its last checkpoint."""
        self.wants, self.handle, self.drain_reason, self.stalled, self.becomes = 0, None, "", False, 0
        if self.status == Status.in_progress:
            self._to("copy", ProcessState.NEW)
        else:
            self._rest("copy")

    # What others may ask.

    @property
    def is_at_rest(self) -> bool:
        """Whether it has no process and is to have none."""
        return not self.wants and self.phase is Phase.IDLE

    def as_value(self, holds: int, in_place: bool = False, wants: int | None = None) -> TrialState:
        """What reconciliation has to know: devices held, whether processes can join and leave, and devices wanted."""
        is_returning = self.state is ProcessState.RETURNING
        return TrialState(
            self.trial_id, self.wants if wants is None else wants, holds, self.phase, is_returning, self.order,
            in_place=in_place, becomes=self.becomes,
        )  # fmt: skip

    def story(self) -> str:
        """The transitions so far, one in a line, with seconds since the first one that is known."""
        began = self._story[0][0] if self._story else 0.0
        return "\n".join(f"  {moment - began:10.3f} s  {text}" for moment, text in self._story) or "  (nothing)"

    def check(self, holds: int) -> None:
        """Checks what holds after every step, given the number of devices held.

        Raises
        ------
        IllegalStateError
            The trial's state contradicts itself; the message has its story.
        """
        is_running, is_paused = self.state is ProcessState.RUNNING, self.state is ProcessState.PAUSED
        is_changing = self.state is ProcessState.CHANGING
        has_processes = is_running or is_changing or self.state is ProcessState.DRAINING
        is_to_run = self.status == Status.in_progress and self.state is not ProcessState.NEW
        for holds_true, rule in (
            (self.phase is _PHASE[self.state], f"phase is that of its state, not {self.phase.value}"),
            ((holds > 0) == has_processes, f"it holds devices while it has processes, not {holds}"),
            ((self.handle is not None) == has_processes, f"it has a handle while it has processes, not {self.handle}"),
            ((self.wants > 0) == is_to_run, f"it wants devices while the tuner has it run (status {self.status})"),
            (not is_paused or self.status == Status.paused, f"status is paused, not {self.status}"),
            (self.launch >= 0 or not has_processes, "it has been launched"),
            ((self.becomes > 0) == is_changing, f"it becomes something while it changes, not {self.becomes}"),
            (has_processes or not self.stalled, "only a launch can have stalled"),
            (not is_running or self.wants >= holds, f"it is drained if it holds more, here {holds}"),
        ):
            if not holds_true:
                self.fail_with(f"breaks a rule: {rule}")

    def fail_with(self, what: str) -> NoReturn:
        """Raises an error with the trial's story.

        Raises
        ------
        IllegalStateError
            Always.
        """
        raise IllegalStateError(
            f"trial {self.trial_id} is {self.state.value} (wants {self.wants}, status {self.status}, launch "
            f"{self.launch}) and {what}. This is a fault of syne_hypersched. What has happened to the trial:\n"
            f"{self.story()}"
        )

    def _require(self, transition: str, is_sound: bool, how: str) -> None:
        if not is_sound or self.state not in LEGAL[transition]:
            self.fail_with(f"cannot {transition} {how}")

    def _rest(self, transition: str) -> None:
        self._to(transition, ProcessState.PAUSED if self.status == Status.paused else ProcessState.ENDED)

    def _to(self, transition: str, state: ProcessState) -> None:
        change = f"{self.state.value} -> {state.value}, wants {self.wants}, launch {self.launch}"
        self._story.append((time.monotonic(), f"{transition}: {change}"))
        self.state, self.phase = state, _PHASE[state]
