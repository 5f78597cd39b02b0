"""The record of one trial's processes, and where their logs are."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syne_tune.backend.trial_status import Status
from syne_tune.constants import ST_WORKER_ITER
from syne_tune.util import dump_json_with_numpy

from syne_hypersched.backends.local._failures import Failure, FailureHistory, FailurePolicy, GiveUp, Retry
from syne_hypersched.backends.shared.reconcile import Phase, TrialState
from syne_hypersched.backends.shared.reports import LogTail, ReportStream, StreamedReport
from syne_hypersched.checkpoints import Ending
from syne_hypersched.contract import ST_NUM_DEVICES, ST_SIGNAL_TO_REPORT_S
from syne_hypersched.filenames import CONFIG_FILENAME, rank_log_name
from syne_hypersched.launch import LaunchExit

#: Of so many reports of a trial it is remembered which ones in the log they are.
_MAX_NUMBERS = 1_000


@dataclass
class TrialProcesses:
    """One trial's processes. Only :class:`Fleet` changes it."""

    trial_id: int
    stdout_path: Path
    stderr_path: Path
    argv: tuple[str, ...] = ()
    #: The configuration, until it is in its file.
    unwritten_config: dict[str, Any] | None = None
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
    #: Why the launch is being drained: resize, pause, stop, stall or deadline.
    drain_reason: str = ""
    #: When the signal or order was given that the next launch answers: epoch seconds and monotonic seconds.
    signal_timestamp: float = 0.0
    signal_time: float = 0.0
    #: When the signal or order was given that the present launch answers: monotonic seconds.
    answers_to: float = 0.0
    status: str = Status.in_progress
    warned: bool = False
    stream: ReportStream = field(default_factory=ReportStream)
    #: Reports that the tuner has not seen, and those it was handed last.
    queue: list[dict[str, Any]] = field(default_factory=list)
    delivered: list[dict[str, Any]] = field(default_factory=list)
    failures: FailureHistory = field(default_factory=FailureHistory)
    #: Not to be launched before this moment, and when the present launch began or last reported: monotonic seconds.
    launch_at: float = 0.0
    heard_at: float = 0.0
    #: Whether the launch was ordered while the preloading server was starting.
    waits_for_server: bool = False
    #: Whether the launch is being drained because it has not reported for too long.
    stalled: bool = False
    #: Reports in the log so far, and the numbers of the last ones by their iterations.
    num_raw: int = 0
    numbers: dict[int, int] = field(default_factory=dict)
    #: Reports before the present launch; the generation from which the next one is to go back if this one cannot go on;
    #: the same, if it could not; whether that was done since the last report.
    num_raw_before: int = 0
    began_from: int | None = None
    go_back_from: int | None = None
    went_back: bool = False
    #: Devices with which it is started or resumed next, if other than what every trial starts and resumes with.
    resumes_on: int = 0
    tail: LogTail = field(init=False)

    def __post_init__(self) -> None:
        self.tail = LogTail(self.stdout_path)

    @property
    def config_path(self) -> Path:
        """The file with the trial's configuration, in the folder of its logs."""
        return self.stdout_path.with_name(CONFIG_FILENAME)

    def write_config(self) -> None:
        """Makes the trial's folder with its configuration, unless that was done since it was started or resumed.

        Raises
        ------
        OSError
            It cannot be written.
        """
        if self.unwritten_config is not None:
            # For the user alone: configurations may hold secrets.
            self.config_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            dump_json_with_numpy(self.unwritten_config, self.config_path)
            self.unwritten_config = None

    def expect_launch(self, backoff_s: float = 0.0) -> None:
        """The next launch answers to this moment, or to the one when ``backoff_s`` seconds have gone by."""
        self.signal_timestamp, self.signal_time = time.time() + backoff_s, time.monotonic() + backoff_s
        self.launch_at = self.signal_time

    def count_from_now(self) -> None:
        """Has the launch answer to this moment, and not to the signal that led to it."""
        self.stream.count_from(time.time())
        self.answers_to = time.monotonic()

    def read(self, time_attr: str | None, to_the_end: bool = False) -> list[StreamedReport]:
        """Takes new reports from the log and returns them, with those that are not to be delivered."""
        read, now = [], time.time()
        for raw in self.tail.reports(to_the_end):
            self.num_raw += 1
            known, report = self.stream.beginning, self.stream.accept(raw.values, time_attr, now)
            beginning = self.stream.beginning if known is None else None
            values = raw.values if report is None else report
            read.append(StreamedReport(values, raw.end, report is not None, beginning))
            if report is not None:
                if ST_SIGNAL_TO_REPORT_S in report:
                    # Script and tuner have only the clock of the wall in common, which may have been set meanwhile.
                    most_s = max(0.0, time.monotonic() - self.answers_to)
                    report[ST_SIGNAL_TO_REPORT_S] = min(report[ST_SIGNAL_TO_REPORT_S], most_s)
                self.failures.report(report[ST_NUM_DEVICES])
                self.queue.append(report)
                self.numbers[report[ST_WORKER_ITER]] = self.num_raw
        if read or self.tail.is_behind:
            self.heard_at = time.monotonic()
        if read:
            self.went_back = False
        return read

    def number_of(self, report: Mapping[str, Any]) -> int | None:
        """Which of all reports in the log a report is, counted from 1; None if it was handed out long ago."""
        return self.numbers.get(report.get(ST_WORKER_ITER, -1))

    @property
    def is_at_rest(self) -> bool:
        """Whether it has no process and is to have none."""
        return not self.wants and self.phase is Phase.IDLE

    def begin_launch(self, num_devices: int) -> None:
        """A launch begins, the next one."""
        self.launch += 1
        self.answers_to = self.signal_time
        self.phase, self.resized, self.drain_reason, self.warned = Phase.RUNNING, False, "", False
        self.heard_at = math.inf  # the server may have to import what it preloads first
        self.num_raw_before, self.began_from = self.num_raw, None
        self.stream.begin_launch(self.launch, num_devices, self.signal_timestamp)

    def distrust_checkpoint(self, ending: Ending | None) -> None:
        """A launch has failed. If it seems not to have loaded its checkpoint, the next one goes back by one, once.

        Parameters
        ----------
        ending
            How it has left the checkpoint folder, if that is known. Who has written there had got further.
        """
        was_idle = self.num_raw == self.num_raw_before and ending is not None and not ending.has_changed
        if was_idle and self.began_from is not None and not self.went_back:
            self.go_back_from, self.went_back = self.began_from, True

    @property
    def has_news(self) -> bool:
        """Whether there are reports that the tuner has not seen, or has seen just now."""
        return bool(self.queue or self.delivered)

    def deliver(self) -> list[dict[str, Any]]:
        """The reports that the tuner has not seen."""
        self.delivered, self.queue = self.queue, []
        if len(self.numbers) > _MAX_NUMBERS:
            for iteration in list(self.numbers)[: len(self.numbers) - _MAX_NUMBERS]:
                del self.numbers[iteration]
        return self.delivered

    def take_back(self, after: dict[str, Any] | None) -> None:
        """The tuner has not looked at what was delivered after this report: it is kept for the next time."""
        position = next((i for i, report in enumerate(self.delivered) if report is after), None)
        if position is not None:
            self.queue[:0] = self.delivered[position + 1 :]
            self.delivered = []

    def how_ended(self, exit_: LaunchExit) -> str:
        """In one word how the launch has ended: completed, failed, stalled, drained, killed (when drained) or lost."""
        if self.stalled and exit_.drained:
            return "stalled"
        # By no fault of its own: somebody else has sent it a SIGTERM, or has killed what watches it.
        interrupted = exit_.lost or (exit_.has_left and not exit_.drained)
        if interrupted and self.failures.interrupt():
            return "lost" if exit_.lost else "drained"
        if exit_.drained and not exit_.lost:
            return "killed" if exit_.killed else "drained"
        # By itself, perhaps just before it could be asked to.
        return "completed" if exit_.exit_code == 0 and not exit_.error else "failed"

    def fail(self, exit_: LaunchExit, num_devices: int, policy: FailurePolicy, knows_progress: bool) -> Retry | GiveUp:
        """What is to be done after a launch on so many devices has failed."""
        *_, last_words = "", *(_tail(self.failed_log(exit_)) or "").splitlines()
        return self.failures.fail(Failure(num_devices, exit_.exit_code, last_words, knows_progress), policy)

    def failed_log(self, exit_: LaunchExit) -> Path:
        """The standard error of the rank that failed first."""
        return self.stderr_path.with_name(rank_log_name(self.stderr_path.name, exit_.first_failed or 0))

    def faults(self) -> dict[str, Any]:
        """What counts against the trial, as an entry of an event from which it can be restored."""
        state = self.failures.state()
        return {"failures": {**state, "num_reports": self.stream.num_reports}} if state else {}

    def state(self, holds: int) -> TrialState:
        """What reconciliation has to know, given the number of devices held."""
        return TrialState(self.trial_id, self.wants, holds, self.phase, self.resized, self.order)


def last_lines(path: Path, num_lines: int = 10, max_bytes: int = 4096) -> str:
    """The end of a log, for an error message."""
    tail = _tail(path, max_bytes)
    if tail is None:
        return "(the log cannot be read)"
    return "\n".join(tail.splitlines()[-num_lines:]).strip("\n") or "(the log is empty)"


def _tail(path: Path, max_bytes: int = 4096) -> str | None:
    """The end of a log; None if it cannot be read."""
    try:
        with open(path, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - max_bytes))
            return file.read().decode(errors="replace")
    except OSError:
        return None


def read_lines(path: Path) -> list[str]:
    """All lines of a log, none if it does not exist."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readlines()
    except FileNotFoundError:
        return []
