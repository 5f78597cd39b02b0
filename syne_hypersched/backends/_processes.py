"""The record of one trial's processes, and where their logs are."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syne_tune.backend.trial_status import Status

from syne_hypersched.backends.reconcile import Phase, TrialState
from syne_hypersched.backends.reports import LogTail, ReportStream


@dataclass
class TrialProcesses:
    """One trial's processes. Only :class:`Fleet` changes it."""

    trial_id: int
    stdout_path: Path
    stderr_path: Path
    argv: tuple[str, ...] = ()
    #: Devices on which the trial is to run; 0 while it is not to run.
    wants: int = 0
    phase: Phase = Phase.IDLE
    #: Whether the trial, while idle, waits to go on after a resize or a lost launch.
    resized: bool = False
    #: Position of the last order among all orders.
    order: int = 0
    #: Index of the last launch, counted from 0, and the launcher's number of it while it lives.
    launch: int = -1
    handle: int | None = None
    #: Why the launch is being drained: resize, pause, stop or deadline.
    drain_reason: str = ""
    #: When the signal or order was given that the next launch answers: epoch seconds and monotonic seconds.
    signal_timestamp: float = 0.0
    signal_time: float = 0.0
    status: str = Status.in_progress
    warned: bool = False
    stream: ReportStream = field(default_factory=ReportStream)
    #: Reports that the tuner has not seen, and those it was handed last.
    queue: deque[dict[str, Any]] = field(default_factory=deque)
    delivered: list[dict[str, Any]] = field(default_factory=list)
    has_reported: bool = False
    #: Launches that left by themselves to be launched again, since the last report.
    num_left: int = 0
    tail: LogTail = field(init=False)

    def __post_init__(self) -> None:
        self.tail = LogTail(self.stdout_path)

    def state(self, holds: int) -> TrialState:
        """What reconciliation has to know, given the number of devices held."""
        return TrialState(self.trial_id, self.wants, holds, self.phase, self.resized, self.order)


def rank_log_name(name: str, rank: int) -> str:
    """Name of the log of another rank than 0: ``std.out`` becomes ``std.rank1.out``."""
    stem, _, suffix = name.rpartition(".")
    return name if rank == 0 else f"{stem}.rank{rank}.{suffix}"


def last_lines(path: Path, num_lines: int = 10, max_bytes: int = 4096) -> str:
    """The end of a log, for an error message."""
    try:
        with open(path, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - max_bytes))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return "(the log cannot be read)"
    return "\n".join(lines[-num_lines:]).strip("\n") or "(the log is empty)"
