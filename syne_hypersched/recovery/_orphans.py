"""Processes that a tuner has left behind when it was killed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

from syne_hypersched.experiments._events import Event

#: Clocks tick: a process that was there when an event was written seems to have started at most so much after it.
_TICK_S = 1.0
_PAUSE_S = 0.02


def find_orphans(trials_path: Path, experiment_path: Path, events: Sequence[Event]) -> list[psutil.Process]:
    """Processes that belong to an experiment whose tuner has died.

    They are known by what they write to, which is a log of a trial or of the preloading server, or by their pid and
    start time: a launch has recorded the pid when its process was there already, so that a process with this pid that
    started later is somebody else's.

    Parameters
    ----------
    trials_path
        Folder with the folders of the trials.
    experiment_path
        Folder of the experiment.
    events
        What the experiment has recorded.
    """
    recorded = {
        pid: float(launch.details["timestamp"])
        for launch in open_launches(events)
        for pid in launch.details.get("pids", ())
        if "timestamp" in launch.details
    }
    trials, server_log = os.path.realpath(trials_path), os.path.realpath(experiment_path / "preloading.log")
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            is_recorded = process.pid in recorded and process.create_time() <= recorded[process.pid] + _TICK_S
            if is_recorded or any(_is_log(path, trials, server_log) for path in _outputs(process.pid)):
                found.append(process)
    return found


def open_launches(events: Iterable[Event]) -> list[Event]:
    """The launches that no event says to have ended."""
    launched: dict[int, Event] = {}
    for event in events:
        if event.trial_id is None:
            continue
        if event.event == "launch":
            launched[event.trial_id] = event
        elif event.event == "exit":
            launched.pop(event.trial_id, None)
    return list(launched.values())


def end_orphans(trials_path: Path, experiment_path: Path, events: Sequence[Event], grace_s: float) -> list[int]:
    """Waits until every process that a dead tuner has left behind is gone; kills what is there after ``grace_s``.

    The supervisors of trials notice the death of the tuner and drain them, so that there is mostly nothing to kill.

    Returns
    -------
    list of int
        Pids of the processes that were found.
    """
    pids: dict[int, None] = {}
    kill_at = time.monotonic() + grace_s
    while orphans := find_orphans(trials_path, experiment_path, events):
        pids |= dict.fromkeys(orphan.pid for orphan in orphans)
        if time.monotonic() >= kill_at:
            for orphan in orphans:
                with contextlib.suppress(psutil.Error):
                    orphan.kill()
        time.sleep(_PAUSE_S)
    return list(pids)


def _outputs(pid: int) -> list[str]:
    paths = []
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            paths.append(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
    return paths


def _is_log(path: str, trials: str, server_log: str) -> bool:
    if path == server_log:
        return True
    folder, name = os.path.split(path)
    above, trial_id = os.path.split(folder)
    return above == trials and trial_id.isdigit() and name.startswith("std.")
