"""Whether the tuner of a run is alive, and the state of the run."""

from __future__ import annotations

import fcntl
import math
import os
import socket
import time
from collections.abc import Iterable
from pathlib import Path

from syne_hypersched._moments import Moment
from syne_hypersched.filenames import JOURNAL_DIRNAME, LOCK_FILENAME
from syne_hypersched.records.events import Event

#: A run whose processes are not visible counts as running if it had an event within this many seconds.
QUIET_S = 120.0
#: A run in which no trial holds a device counts as running if it had an event within this many seconds.
_IDLE_S = 15.0


def tuner_is_alive(folder: Path) -> bool | None:
    """Whether the tuner is alive; None if that cannot be known on this machine, or the run has no journal.

    The journal's lock names the tuner's process, which touches it in each turn of its loop.

    Parameters
    ----------
    folder
        Folder of the run.
    """
    lock = folder / JOURNAL_DIRNAME / LOCK_FILENAME
    try:
        words = lock.read_text(encoding="utf-8", errors="replace").split()
        quiet_s = time.time() - lock.stat().st_mtime
    except OSError:
        return None
    if len(words) < 4 or words[0] != "process" or words[3] != socket.gethostname() or not words[1].isdigit():
        return None
    if int(words[1]) == os.getpid() and not _is_locked(lock):
        return False  # this process had tuned, and does something else now
    return is_process(int(words[1])) and quiet_s < QUIET_S


def _is_locked(path: Path) -> bool:
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def is_process(pid: object) -> bool:
    """Whether there is a process with this number on this machine."""
    return isinstance(pid, int) and os.path.exists(f"/proc/{pid}/status")


def run_state_of(is_simulated: bool, holds_devices: bool, is_alive: bool | None, quiet_s: float) -> str:
    """State of a run: ``simulated``, ``running``, ``finished`` or ``killed``.

    Parameters
    ----------
    is_simulated
        Whether its time is virtual.
    holds_devices
        Whether a launch has begun and not ended, as far as the events say.
    is_alive
        Whether its processes are there; None if they are those of another machine, or the events do not say.
    quiet_s
        Seconds since the last event.
    """
    if is_simulated:
        return "simulated"
    if holds_devices:
        if is_alive is None:
            return "running" if quiet_s < QUIET_S else "killed"
        return "running" if is_alive else "killed"
    return "running" if is_alive or (is_alive is None and quiet_s < _IDLE_S) else "finished"


def is_alive(folder: Path, hosts: Iterable[tuple[str, str, list[int]]]) -> bool | None:
    """Whether the tuner or one of these processes is alive; None if that cannot be known on this machine.

    Parameters
    ----------
    folder
        Folder of the run.
    hosts
        Machine, its boot and processes of each trial that holds devices.
    """
    tuner = tuner_is_alive(folder)
    if tuner is not None:
        return tuner
    boot_id = Moment.now().boot_id
    known = [pids for _, boot, pids in hosts if boot == str(boot_id)]
    if known:
        return any(is_process(pid) for pids in known for pid in pids)
    return None


def find_run_state(folder: Path, events: Iterable[Event]) -> str:
    """State of a run as far as it can be known here: ``simulated``, ``running``, ``finished`` or ``killed``.

    Parameters
    ----------
    folder
        Folder of the run.
    events
        Everything that it has recorded.
    """
    is_simulated, timestamp, live = False, -math.inf, {}
    for event in events:
        is_simulated = is_simulated or (event.event == "setup" and event.details.get("mode") == "simulated")
        if isinstance(event.details.get("timestamp"), (int, float)):
            timestamp = max(timestamp, event.details["timestamp"])
        if event.event == "launch":
            live[event.trial_id] = event
        elif event.event == "exit":
            live.pop(event.trial_id, None)
    hosts = [
        (str(launch.details.get("host")), str(launch.details.get("boot_id")), launch.details["pids"])
        for launch in live.values()
        if isinstance(launch.details.get("pids"), list)
    ]
    return run_state_of(is_simulated, bool(live), is_alive(folder, hosts), time.time() - timestamp)
