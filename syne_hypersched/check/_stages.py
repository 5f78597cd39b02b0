"""The launches of a check: undisturbed; terminated and resized; killed during a save."""

from __future__ import annotations

import shutil
import signal
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

from syne_hypersched._wording import counted
from syne_hypersched.check._live import Stage, WatchedLaunch
from syne_hypersched.check._torn import TornState, files_below, lay_out, torn_states
from syne_hypersched.check._trace import LaunchTrace
from syne_hypersched.checkpoints import Change


@dataclass
class Observed:
    """All launches of a check that took place."""

    alone: LaunchTrace
    """The undisturbed launch, on one device."""
    terminated: LaunchTrace | None = None
    """A launch on one device, with SIGTERM in the middle of an epoch."""
    resized: LaunchTrace | None = None
    """A later launch of the same trial, on several devices."""
    killed: LaunchTrace | None = None
    """A launch on one device, killed at the beginning of a save."""
    restarted: LaunchTrace | None = None
    """A later launch of the same trial, on one device."""
    resumed: LaunchTrace | None = None
    """A launch on one device from the checkpoint folder that :attr:`terminated` left. If that launch was killed, or
    reported something else after SIGTERM, the folder is a copy made just after a report of :attr:`alone`."""
    num_resumed: int = 0
    """Number of reports before :attr:`resumed`; 0: it is not certain after which report the folder was copied."""
    torn: list[tuple[str, LaunchTrace]] = field(default_factory=list)
    """Launches from other states that a kill may leave, each with a description of the state."""
    num_torn: int = 0
    """Number of reports of :attr:`alone` before the save of :attr:`torn`."""
    num_before: int = 0
    """Number of reports of a trial before it was ended."""
    num_devices: int = 1
    """Number of devices available for :attr:`resized`."""


class Plan:
    """Carries out the launches of a check one after another.

    Parameters
    ----------
    stage
        The place where the launches run.
    num_reports
        Number of reports after which an undisturbed launch is ended, unless it has ended by itself.
    grace_s
        Seconds from SIGTERM to SIGKILL.
    timeout_s
        Seconds that a launch may take until its next report.
    tell
        Called with a description of the next step.
    """

    def __init__(
        self, stage: Stage, num_reports: int, grace_s: float, timeout_s: float, tell: Callable[[str], None]
    ) -> None:
        self._stage = stage
        self._num_reports = num_reports
        self._grace_s, self._timeout_s = grace_s, timeout_s
        self._tell = tell
        #: Seconds between two reports.
        self._interval_s = 0.0
        #: Number of reports of the undisturbed launch.
        self._num_alone = 0
        #: Copies of the folder of the undisturbed launch, made while it was stopped.
        self._copies: list[_Copy] = []

    def run(self) -> Observed:
        """Carries out the launches."""
        self._tell("undisturbed on 1 device")
        alone = self._alone()
        seen = Observed(alone, num_devices=self._stage.num_devices)
        num_reports = self._num_alone = len(alone.reports)
        if num_reports < 2 or alone.is_silent or alone.exit_code not in (None, 0):
            return seen
        # An odd number reveals a script that saves only every second time.
        after = seen.num_before = min(2, num_reports - 1)
        for attempt in range(3):
            self._tell(f"SIGTERM in the middle of an epoch, after {counted(after, 'report')}")
            trial = f"terminated-{attempt}"
            seen.terminated = self._terminate(trial, after)
            if not seen.terminated.may_lack_a_report:
                break
        self._resume(seen, trial, num_reports)
        others = self._stage.num_devices
        self._tell(f"launched again on {others} device{'s' if others > 1 else ''}")
        seen.resized = self._go_on(trial, others, num_reports - after + 1)
        for attempt in range(3):
            self._tell("killed while it saves")
            trial = f"killed-{attempt}"
            seen.killed = self._kill_in_save(trial, after)
            if seen.killed.is_in_save(alone):
                break  # otherwise the kill came too late
            if attempt == 1 and seen.killed.num_before_signal is None:
                break
        if seen.killed is not None and seen.killed.num_before_signal is not None:
            self._tell("launched again")
            seen.restarted = self._go_on(trial, 1, num_reports - after + 1)
        seen.num_torn, states = self._torn_states(alone)
        for number, state in enumerate(states):
            self._tell(f"launched from a torn save: {state.what}")
            trial = f"torn-{number}"
            (self._stage.folder / trial).mkdir()
            lay_out(state, self._stage.checkpoints(trial))
            seen.torn.append((state.what, self._go_on(trial, 1, 2)))
        return seen

    def _resume(self, seen: Observed, trial: str, num_reports: int) -> None:
        """Launches the script from the checkpoint folder that another launch left."""
        ended, source, number = seen.terminated, self._stage.checkpoints(trial), seen.num_before
        if (
            ended is None
            or ended.was_killed
            or ended.num_before_signal != len(ended.reports)
            or ended.may_lack_a_report
        ):
            if not self._copies:
                return
            copy = min(self._copies, key=lambda copy: (not copy.is_clean, abs(copy.num_reports - number)))
            source, number = copy.folder, copy.num_reports
            num_resumed = number if copy.is_clean else 0
        else:
            num_resumed = number = len(ended.reports)
        if files_below(source):
            self._tell("launched again on 1 device")
            shutil.copytree(source, self._stage.checkpoints("resumed"), symlinks=True)
            seen.resumed = self._go_on("resumed", 1, max(2, num_reports - number + 1))
            seen.num_resumed = num_resumed

    def _alone(self) -> LaunchTrace:
        launch = self._stage.start("alone", 1)
        folder = self._stage.checkpoints("alone")
        has_all = False
        for number in range(1, self._num_reports + 1):
            has_all = self._wait_for_reports(launch, number)
            if not has_all:
                break
            if number <= 3:
                target = self._stage.folder / f"after-report-{number}"
                launch.copy_checkpoints(folder, target)
                # The launch may have made more reports, or begun the next save, before it was stopped.
                self._copies.append(
                    _Copy(target, len(launch.reports), len(launch.changes), not launch.num_saves_since_report())
                )
        self._end(launch, has_all)
        self._interval_s = _interval_s(launch) or 0.0
        return launch.finish(1)

    def _terminate(self, trial: str, after: int) -> LaunchTrace:
        launch = self._stage.start(trial, 1)
        if self._wait_for_reports(launch, after):
            # If the next report comes too early, use the middle of the next epoch, as long as one is left.
            while launch.wait(partial(_has_more, launch, len(launch.reports)), self._until_the_middle_s(launch)):
                if len(launch.reports) >= self._num_alone - 1:
                    break
            launch.terminate(self._grace_s, self._timeout_s)
        self._end(launch)
        return launch.finish(1)

    def _until_the_middle_s(self, launch: WatchedLaunch) -> float:
        """Seconds from a report to the middle of the next epoch, if the script keeps its speed."""
        return min(self._interval_s, _interval_s(launch) or self._interval_s) / 2

    def _kill_in_save(self, trial: str, after: int) -> LaunchTrace:
        launch = self._stage.start(trial, 1)
        if self._wait_for_reports(launch, after):
            begin = launch.num_saves()
            if launch.wait(lambda: launch.num_saves() > begin, self._timeout_s):
                launch.send(signal.SIGKILL)
                launch.wait(lambda: False, self._timeout_s)
        self._end(launch)
        return launch.finish(1)

    def _go_on(self, trial: str, num_devices: int, num_reports: int) -> LaunchTrace:
        launch = self._stage.start(trial, num_devices)
        self._end(launch, self._wait_for_reports(launch, num_reports))
        return launch.finish(num_devices)

    def _wait_for_reports(self, launch: WatchedLaunch, number: int) -> bool:
        return launch.wait(lambda: len(launch.reports) >= number, self._timeout_s)

    @staticmethod
    def _end(launch: WatchedLaunch, has_all: bool = False) -> None:
        """Ends a launch that still runs, because enough is known or because it is silent."""
        if not launch.has_ended:
            launch.kill() if has_all else launch.give_up()

    def _torn_states(self, alone: LaunchTrace) -> tuple[int, list[TornState]]:
        """The states in the middle of the last save for which the files before and after the save are known.

        Returns
        -------
        int, list of TornState
            Number of reports before that save, and the states.
        """
        for old, new in reversed(list(pairwise(self._copies))):
            before, after = files_below(old.folder), files_below(new.folder)
            changes = alone.changes[old.num_changes : new.num_changes]
            if new.num_reports != old.num_reports + 1 or not before or not after:
                continue
            if any(num and not _is_quiet(alone.changes[num - 1]) for num in (old.num_changes, new.num_changes)):
                continue  # the launch was stopped during a save
            sizes = {path: Path(source).stat().st_size for path, source in after.items()}
            return old.num_reports, torn_states(before, after, sizes, changes)
        return 0, []


@dataclass(frozen=True)
class _Copy:
    """A copy of the checkpoint folder."""

    folder: Path
    num_reports: int
    """Number of reports at the time of the copy."""
    num_changes: int
    """Number of changes of the folder seen before the copy."""
    is_clean: bool
    """Whether the folder was copied between a report and the next save."""


def _is_quiet(change: Change) -> bool:
    """Whether no file is open, or being moved, after a change."""
    return change.kind in ("closed", "moved", "removed", "lost")


def _interval_s(launch: WatchedLaunch) -> float | None:
    """Median number of seconds between two reports of a launch; None: it has made at most one report."""
    times = launch.report_times
    return statistics.median(later - earlier for earlier, later in pairwise(times)) if len(times) > 1 else None


def _has_more(launch: WatchedLaunch, number: int) -> bool:
    return len(launch.reports) > number


def clean(folder: Path) -> None:
    """Removes the folder of a check."""
    shutil.rmtree(folder, ignore_errors=True)
