"""The record of one trial's processes, and where their logs are."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from syne_tune.backend.trial_status import Status

from syne_hypersched._json_files import write_config
from syne_hypersched._terminal_text import plain_log
from syne_hypersched.backends.local._crew import Crew
from syne_hypersched.backends.local._failures import Failure, FailureHistory, FailurePolicy, GiveUp, Retry
from syne_hypersched.backends.local._fallback import CheckpointFallback
from syne_hypersched.backends.local._launch_clock import LaunchClock
from syne_hypersched.backends.local._report_queue import ReportQueue
from syne_hypersched.backends.local._states import StateMachine
from syne_hypersched.backends.shared.reports import StreamedReport, clashing_names
from syne_hypersched.contract import ST_NUM_DEVICES, ST_SIGNAL_TO_REPORT_S
from syne_hypersched.filenames import CONFIG_FILENAME, rank_log_name
from syne_hypersched.launch import LaunchExit

logger = logging.getLogger(__name__)

#: Experiments whose user was warned of names of entries.
_WARNED: set[Path] = set()


class TrialProcesses(StateMachine):
    """One trial's processes: its state, and what belongs to it. Only the parts of a fleet change it.

    Parameters
    ----------
    trial_id
        The trial.
    stdout_path, stderr_path
        Logs of rank 0.
    status, launch
        As in :class:`~syne_hypersched.backends.local._states.StateMachine`.

    Attributes
    ----------
    argv
        Its command line.
    unwritten_config
        The configuration, until it is in its file.
    resumes_on
        Devices with which it is started or resumed next, if other than what every trial starts and resumes with.
    waits_for_server
        Whether the launch was ordered while the preloading server was starting.
    warned
        Whether the user was told that the trial waits or does not end, since its last launch.
    crew
        Its processes, while there are any.
    logs
        The ranks by which the logs of the last launch's processes are named, by rank.
    clock, reports, failures, fallback
        When things happened, its reports, what counts against it, and which checkpoint it begins from.
    """

    def __init__(
        self, trial_id: int, stdout_path: Path, stderr_path: Path, status: str = Status.in_progress, launch: int = -1
    ) -> None:
        super().__init__(trial_id, status, launch)
        self.stdout_path = stdout_path
        self.stderr_path = stderr_path
        self.argv: tuple[str, ...] = ()
        self.unwritten_config: dict[str, Any] | None = None
        self.resumes_on = 0
        self.waits_for_server = False
        self.warned = False
        self.clock = LaunchClock()
        self.reports = ReportQueue(stdout_path)
        self.failures = FailureHistory()
        self.fallback = CheckpointFallback()
        self.crew: Crew | None = None
        self.logs: tuple[int, ...] = ()

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
            write_config(self.config_path, self.unwritten_config)
            self.unwritten_config = None

    def begin_launch(self, num_devices: int, num_nodes: int = 1) -> None:
        """The next launch begins, on a number of devices of some nodes."""
        super().begin_launch(num_devices)
        self.warned = False
        self.clock.begin_launch()
        self.fallback.begin_launch(self.reports.num_read)
        self.reports.stream.begin_launch(self.launch, num_devices, self.clock.signal_timestamp, num_nodes)

    def count_from_now(self) -> None:
        """Has the launch answer to this moment, and not to the signal that led to it."""
        self.clock.answers_to = time.monotonic()
        self.reports.stream.count_from(time.time())

    def read(self, time_attr: str | None, to_the_end: bool = False) -> list[StreamedReport]:
        """Takes new reports from the log and returns them, with those that are not to be delivered."""
        read = self.reports.read(time_attr, self.clock.answers_to, to_the_end, when_read=self.hear_change)
        for report in read:
            if report.is_new:
                self.failures.report(report.values[ST_NUM_DEVICES])
                if ST_SIGNAL_TO_REPORT_S in report.values:
                    self._warn_of_names(report.values)
        if read or self.reports.tail.is_behind:
            self.clock.hear()
        if read:
            self.fallback.hear()
        return read

    def _warn_of_names(self, report: Mapping[str, Any]) -> None:
        """Warns, once for an experiment, of entries whose names are used for others."""
        clash, experiment = clashing_names(report), self.stdout_path.parent.parent
        if clash and experiment not in _WARNED:
            _WARNED.add(experiment)
            logger.warning(
                "Trial %d has reported %s. Let the script report other names (docs/reports.md).", self.trial_id, clash
            )

    def hear_change(self) -> None:
        """Takes note of a change of its processes, of which later reports are the first."""
        if self.crew is not None:
            self.reports.stream.in_place = self.crew.can_change
        outcome = None if self.crew is None else self.crew.hear()
        if outcome is not None and outcome.is_done and self.crew is not None and self.crew.change is not None:
            self.reports.stream.change_devices(self.crew.change.after, outcome.time, outcome.pause_s)

    def lose_processes(self) -> None:
        """See :meth:`StateMachine.lose_processes`."""
        super().lose_processes()
        self.crew = None

    def how_ended(self, exit_: LaunchExit) -> str:
        """In one word how the launch has ended: completed, failed, stalled, drained, killed (when drained) or lost."""
        if self.stalled and exit_.drained:
            return "stalled"
        # Interrupted from outside: another process has sent it SIGTERM, or has killed its supervisor.
        interrupted = exit_.lost or (exit_.has_left and not exit_.drained)
        if interrupted and self.failures.interrupt():
            return "lost" if exit_.lost else "drained"
        if exit_.drained and not exit_.lost:
            return "killed" if exit_.killed else "drained"
        # By itself, perhaps just before it was to be drained.
        return "completed" if exit_.exit_code == 0 and not exit_.error else "failed"

    def fail(self, exit_: LaunchExit, num_devices: int, policy: FailurePolicy, knows_progress: bool) -> Retry | GiveUp:
        """The reaction to a failed launch on a number of devices."""
        *_, last_words = "", *(_tail(self.failed_log(exit_)) or "").splitlines()
        return self.failures.fail(Failure(num_devices, exit_.exit_code, last_words, knows_progress), policy)

    def last_words(self, exit_: LaunchExit) -> str:
        """The end of the log of the rank that failed first."""
        return _tail(self.failed_log(exit_)) or ""

    def failed_log(self, exit_: LaunchExit) -> Path:
        """The standard error of the rank that failed first."""
        rank = exit_.first_failed or 0
        return self.stderr_path.with_name(
            rank_log_name(self.stderr_path.name, self.logs[rank] if rank < len(self.logs) else rank)
        )

    def faults(self) -> dict[str, Any]:
        """What counts against the trial, as an entry of an event from which it can be restored."""
        state, num_reports = self.failures.state(), self.reports.stream.num_reports
        return {"failures": {**state, "num_reports": num_reports, **self.fallback.state()}} if state else {}

    def check(self, holds: int) -> None:
        """Checks what holds after every step, see :meth:`StateMachine.check`."""
        super().check(holds)
        limit = self.failures.max_num_devices
        if limit is not None and self.wants > limit:
            self.fail_with(f"breaks a rule: it has failed on more than {limit} devices")


def last_lines(path: Path, num_lines: int = 10, max_bytes: int = 4096) -> str:
    """The end of a log, for an error message."""
    tail = _tail(path, max_bytes)
    if tail is None:
        return "(the log cannot be read)"
    return plain_log("\n".join(tail.splitlines()[-num_lines:]).strip("\n")) or "(the log is empty)"


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
