"""Launches a script like the local backend, watches it, and sends signals to it."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from syne_hypersched._log_tail import LogTail
from syne_hypersched._report_lines import OF_REPORTER
from syne_hypersched.backends.local import Processes, plan_preloading
from syne_hypersched.backends.machine.claims import claim
from syne_hypersched.backends.machine.device_locks import DeviceLocks
from syne_hypersched.backends.machine.discovery import Devices
from syne_hypersched.backends.machine.environment import rank_environments, server_environment
from syne_hypersched.check._log import error_line, last_lines
from syne_hypersched.check._trace import LaunchTrace, num_saves, places_of
from syne_hypersched.checkpoints import Change, ChangeWatch
from syne_hypersched.filenames import SERVER_LOG_FILENAME, STDERR_FILENAME, STDOUT_FILENAME, rank_log_name
from syne_hypersched.launch import Launcher, LaunchExit, LaunchSpec, RankSpec, working_directory

#: Placeholder of the checkpoint folder in an option of the script.
CHECKPOINT_PLACEHOLDER = "{st_checkpoint_dir}"
#: Seconds between two looks at a launch, if nothing happens.
_LOOK_S = 0.05
#: Lines of a log that are shown.
_NUM_LINES = 12
#: Maximum number of seconds until a signal has arrived.
_STOP_S = 2.0


class WatchedLaunch:
    """Watches one launch. Events are handled while a method waits.

    Parameters
    ----------
    launcher
        Starts the processes.
    spec
        What to start.
    checkpoints
        The checkpoint folder.
    """

    def __init__(self, launcher: Launcher, spec: LaunchSpec, checkpoints: Path) -> None:
        self._launcher, self._spec = launcher, spec
        try:
            self._watch = ChangeWatch(str(checkpoints), spec.ranks[0].stdout)
        except OSError as error:
            raise RuntimeError(f"the checkpoint folder cannot be watched: {error.strerror}") from error
        self._tail = LogTail(Path(spec.ranks[0].stdout))
        self._wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._pids: list[int] = []
        self._exit: LaunchExit | None = None
        self._ended_at = 0.0
        self._signalled_at: float | None = None
        self._num_before_signal: int | None = None
        self._num_changes_before_signal = 0
        self._was_told_to_leave = self._is_silent = False
        self.reports: list[Mapping[str, Any]] = []
        self.report_times: list[float] = []
        self.changes: list[Change] = []
        self._places: list[tuple[int, int]] = []
        self.handle = -1

    # Called by the launcher, in its own thread.

    def on_launched(self, pids: list[int]) -> None:
        """Records that the processes exist."""
        self._pids = pids

    def on_exit(self, exit_: LaunchExit, moment: float) -> None:
        """Records that the last process has ended."""
        self._exit, self._ended_at = exit_, moment
        with contextlib.suppress(OSError):
            os.write(self._wakeup[1], b"x")

    # Called by the check.

    @property
    def has_ended(self) -> bool:
        """Whether no process is left."""
        return self._exit is not None

    def wait(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Waits until a condition holds or the launch has ended. Each report restarts the time limit.

        Returns
        -------
        bool
            Whether the condition holds.
        """
        give_up_at, num_reports = time.monotonic() + timeout_s, len(self.reports)
        while True:
            ended = self.has_ended
            self._look(to_the_end=ended)
            if until():
                return True
            if ended:
                return False
            if len(self.reports) > num_reports:
                give_up_at, num_reports = time.monotonic() + timeout_s, len(self.reports)
            if time.monotonic() >= give_up_at:
                return False
            select.select([self._watch.fd, self._wakeup[0]], [], [], _LOOK_S)

    def num_saves(self) -> int:
        """Number of changes so far that belong to a save."""
        return num_saves(self.changes, self._places)

    def send(self, signum: int) -> None:
        """Sends a signal to all ranks."""
        if signum == signal.SIGKILL:
            self._num_before_signal = len(self.reports)
        for pid in self._pids:
            if not self.has_ended:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signum)

    def num_saves_since_report(self) -> int:
        """Number of changes since the last report that belong, or may belong, to a save."""
        return num_saves(self.changes, self._places, after=self._places[-1][0] if self._places else 0)

    def copy_checkpoints(self, folder: Path, target: Path) -> None:
        """Copies the checkpoint folder while the script is stopped, and handles all earlier events."""
        self._stop()
        try:
            if folder.is_dir():
                shutil.copytree(folder, target, symlinks=True, dirs_exist_ok=True)
            else:
                target.mkdir(parents=True)
            self._look()
        finally:
            self.send(signal.SIGCONT)

    def _stop(self) -> None:
        """Stops all ranks, and waits until they have stopped."""
        self.send(signal.SIGSTOP)
        self._wait_for_ranks(lambda status: status.get("State", "T")[0] in "TtZX")

    def _wait_for_ranks(self, until: Callable[[Mapping[str, str]], bool]) -> None:
        """Waits for a short time until the kernel's status of each rank meets a condition."""
        give_up_at = time.monotonic() + _STOP_S
        while not self.has_ended and not all(until(_status(pid)) for pid in self._pids):
            if time.monotonic() >= give_up_at:
                break
            time.sleep(0.001)

    def terminate(self, grace_s: float, timeout_s: float) -> None:
        """Sends SIGTERM, then SIGKILL after the grace period, and waits for the end."""
        self._stop()  # so that reports before and after the signal can be told apart
        try:
            self._launcher.drain(self.handle, grace_s)
            self._wait_for_ranks(_has_sigterm)
            self._look()
            self._num_before_signal, self._signalled_at = len(self.reports), time.monotonic()
            self._num_changes_before_signal = len(self.changes)
        finally:
            self.send(signal.SIGCONT)
        self.wait(lambda: False, grace_s + timeout_s)

    def kill(self) -> None:
        """Ends the launch at once, because enough is known."""
        self._was_told_to_leave = not self.has_ended
        self._launcher.drain(self.handle, 0.0)
        self.wait(lambda: False, 60.0)

    def give_up(self) -> None:
        """Ends the launch, because it is silent."""
        self._is_silent = True
        self.kill()

    def finish(self, num_devices: int) -> LaunchTrace:
        """The trace of the launch, after its end."""
        self._look(to_the_end=True)
        self._watch.close()
        self._tail.close()
        for fd in self._wakeup:
            os.close(fd)
        exit_ = self._exit or LaunchExit((), None, drained=False, killed=True)
        failed = self._spec.ranks[exit_.first_failed or 0].stderr
        told = self._was_told_to_leave
        lines = last_lines(failed)
        return LaunchTrace(
            num_devices=num_devices,
            reports=tuple(self.reports),
            places=tuple(self._places),
            changes=tuple(self.changes),
            exit_code=None if told else exit_.exit_code,
            last_words=exit_.error or ("" if told else error_line(lines)),
            last_lines=() if told or not exit_.exit_code else tuple(lines[-_NUM_LINES:]),
            log=failed,
            leave_s=None if self._signalled_at is None else max(0.0, self._ended_at - self._signalled_at),
            was_killed=exit_.killed,
            num_before_signal=self._num_before_signal,
            num_changes_before_signal=self._num_changes_before_signal,
            is_silent=self._is_silent,
            num_processes=len(self._spec.ranks),
        )

    def _look(self, to_the_end: bool = False) -> None:
        """Handles new events. Changes that are read after the log may be older than its new reports."""
        seen = self._watch.read()
        found = self._tail.reports(to_the_end)
        for _ in range(3):
            more = self._watch.read()
            if not more:
                break
            seen += more
            found += self._tail.reports(to_the_end)
        if not seen and not found:
            return
        changes, places = places_of(seen, len(found), len(self.changes))
        self.changes += changes
        self._places += places
        now = time.monotonic()
        self.report_times += [now] * len(found)
        self.reports += [
            {name: value for name, value in raw.values.items() if name not in OF_REPORTER} for raw in found
        ]


def _status(pid: int) -> dict[str, str]:
    """The kernel's status of a process; empty if the process is gone."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
    return {}


def _has_sigterm(status: Mapping[str, str]) -> bool:
    """Whether SIGTERM is pending for a stopped process, or the process is gone."""
    pending = int(status.get("ShdPnd", "0"), 16) | int(status.get("SigPnd", "0"), 16)
    return not status or status["State"][0] in "ZX" or bool(pending >> (signal.SIGTERM - 1) & 1)


class Stage:
    """The place where a script is launched: its devices, the preloading server, and a folder.

    Parameters
    ----------
    argv
        Script and options, with ``{st_checkpoint_dir}`` in place of the checkpoint folder.
    binary
        Program that runs the script if it is launched cold; empty for a warm launch.
    devices
        The devices.
    processes
        Whether each device has its own process.
    grace_s
        Seconds from SIGTERM to SIGKILL.
    folder
        Folder for logs and checkpoints.
    share_devices
        As in :class:`~syne_hypersched.ElasticLocalBackend`.
    """

    def __init__(
        self,
        argv: Sequence[str],
        binary: Sequence[str],
        devices: Devices,
        processes: Processes,
        grace_s: float,
        folder: Path,
        share_devices: bool | None = None,
    ) -> None:
        self._argv, self._binary = tuple(argv), tuple(binary)
        self._locks = DeviceLocks()
        self._devices = claim(devices, self._locks, f"check of {Path(argv[0]).name}", share_devices, may_move=True)
        self._per_device = processes == "per_device"
        self._grace_s = grace_s
        self.folder = folder
        self._num_launches = 0
        self._live: dict[int, WatchedLaunch] = {}
        self._lock = threading.Lock()
        plan = None if binary else plan_preloading(Path(argv[0]))
        self._launcher = Launcher(
            self._on_launched,
            self._on_exit,
            preload=() if plan is None else plan.modules,
            named=None if plan is None else plan.named,
            log_path=folder / SERVER_LOG_FILENAME,
            environment=lambda: server_environment(self._devices, os.environ),
        )

    @property
    def num_devices(self) -> int:
        """Number of devices."""
        return len(self._devices.names)

    def checkpoints(self, trial: str) -> Path:
        """The checkpoint folder of a trial."""
        return self.folder / trial / "checkpoints"

    def start(self, trial: str, num_devices: int) -> WatchedLaunch:
        """Launches the script as a trial of this name. It continues from the checkpoint of an earlier launch."""
        (self.folder / trial).mkdir(exist_ok=True)
        logs = self.folder / trial / f"launch-{self._num_launches}"
        self._num_launches += 1
        logs.mkdir()
        held = self._devices.names[:num_devices]
        environments = rank_environments(self._devices, held, self._per_device, os.environ)
        ranks = tuple(
            RankSpec(
                env=environment,
                stdout=str(logs / rank_log_name(STDOUT_FILENAME, rank)),
                stderr=str(logs / rank_log_name(STDERR_FILENAME, rank)),
                cores=cores,
            )
            for rank, (environment, cores) in enumerate(environments)
        )
        folder = str(self.checkpoints(trial))
        argv = tuple(part.replace(CHECKPOINT_PLACEHOLDER, folder) for part in self._argv)
        spec = LaunchSpec((*self._binary, *argv), ranks, not self._binary, self._grace_s, working_directory())
        launch = WatchedLaunch(self._launcher, spec, self.checkpoints(trial))
        with self._lock:
            launch.handle = self._launcher.launch(spec)
            self._live[launch.handle] = launch
        return launch

    def close(self) -> None:
        """Ends all processes."""
        self._launcher.close()
        self._locks.release()

    def _on_launched(self, handle: int, pids: list[int], moment: float) -> None:
        with self._lock:
            launch = self._live[handle]
        launch.on_launched(pids)

    def _on_exit(self, handle: int, exit_: LaunchExit, moment: float) -> None:
        with self._lock:
            launch = self._live.pop(handle)
        launch.on_exit(exit_, moment)
