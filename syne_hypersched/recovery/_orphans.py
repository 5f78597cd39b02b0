"""Processes that a tuner has left behind when it was killed."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from syne_hypersched.filenames import RANK_LOG, SERVER_LOG_FILENAME
from syne_hypersched.launch import here, is_here, is_same
from syne_hypersched.records.events import Event

logger = logging.getLogger(__name__)

_PAUSE_S = 0.02
#: Processes that do not die this long after SIGKILL are left, with a warning.
_PATIENCE_S = 30.0


def find_orphans(trials_path: Path, experiment_path: Path, events: Sequence[Event]) -> list[psutil.Process]:
    """Processes that belong to an experiment whose tuner has died.

    They are known by what they write to, which is a log of a trial or of the preloading server, or by what a launch has
    recorded of them: pid and start time, on this host since it was started, in this namespace of pids. All of that must
    be the same. A pid alone says nothing, since it is given to other processes and exists on other machines as well.

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
        pid: started
        for launch in open_launches(events)
        if is_here(launch.details)
        for pid, started in zip(_list(launch, "pids"), _list(launch, "start_ticks"), strict=False)
    }
    trials, server_log = os.path.realpath(trials_path), os.path.realpath(experiment_path / SERVER_LOG_FILENAME)
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            is_recorded = process.pid in recorded and is_same(process.pid, recorded[process.pid])
            if is_recorded or _writes_to_a_log(process.pid, trials, server_log):
                found.append(process)
    return found


def doubtful_pids(events: Iterable[Event]) -> dict[str, list[int]]:
    """Pids of launches without an end, if it cannot be determined here whether their processes still exist.

    Returns
    -------
    dict
        By where they were launched: a host, or nothing in events of a version that did not record it. Of those on this
        host, only pids that exist at present. Processes of an earlier boot of this host have certainly ended.
    """
    found: dict[str, list[int]] = {}
    for launch in open_launches(events):
        host, pids = launch.details.get("host"), _list(launch, "pids")
        if host is None:
            pids = [pid for pid in pids if isinstance(pid, int) and psutil.pid_exists(pid)]
        elif is_here(launch.details) or (host == here()["host"] and launch.details.get("boot_id") != here()["boot_id"]):
            pids = []
        if pids:
            found.setdefault(str(host or ""), []).extend(pids)
    return found


def open_launches(events: Iterable[Event]) -> list[Event]:
    """The launches that no event says to have ended, and the processes that were to join them."""
    launched: dict[int, list[Event]] = {}
    for event in events:
        if event.trial_id is None:
            continue
        if event.event == "launch":
            launched[event.trial_id] = [event]
        elif event.event == "prepare" and event.trial_id in launched:
            launched[event.trial_id].append(event)
        elif event.event == "exit":
            launched.pop(event.trial_id, None)
    return [event for events_of_trial in launched.values() for event in events_of_trial]


def end_orphans(trials_path: Path, experiment_path: Path, events: Sequence[Event], grace_s: float) -> list[int]:
    """Waits until every process that a dead tuner has left behind is gone; kills what is there after ``grace_s``.

    The supervisors of trials notice the death of the tuner and drain them, so that there is mostly nothing to kill.
    Processes that may be left behind but cannot be known for sure are left alone, with a warning.

    Returns
    -------
    list of int
        Pids of the processes that were found.

    Raises
    ------
    RuntimeError
        Some do not end, even when they are killed.
    """
    pids: dict[int, None] = {}
    begun = time.monotonic()
    while orphans := find_orphans(trials_path, experiment_path, events):
        pids |= dict.fromkeys(orphan.pid for orphan in orphans)
        waited_s = time.monotonic() - begun
        if waited_s >= grace_s:
            for orphan in orphans:
                with contextlib.suppress(psutil.Error):
                    orphan.kill()
        if waited_s >= grace_s + _PATIENCE_S:
            raise RuntimeError(
                f"processes {', '.join(str(orphan.pid) for orphan in orphans)} of the dead tuner must have ended "
                f"before the experiment goes on, but still run after {waited_s:.0f} s: end them, or ask their owner to "
                "do so"
            )
        time.sleep(_PAUSE_S)
    for host, doubtful in doubtful_pids(events).items():
        why = f"were launched on {host} and cannot be checked here" if host else "were recorded without a start time"
        logger.warning(
            "The dead tuner has left processes that %s: pids %s. These pids may belong to other processes by now, so "
            "they are left alone. If some still train for this experiment, end them.", why,
            ", ".join(map(str, doubtful)),
        )  # fmt: skip
    return list(pids)


def _list(launch: Event, name: str) -> list[Any]:
    value = launch.details.get(name)
    return value if isinstance(value, list) else []


def _writes_to_a_log(pid: int, trials: str, server_log: str) -> bool:
    return any(_is_log(path, trials, server_log) and _is_same_file(path, pid, fd) for fd, path in _outputs(pid))


def _outputs(pid: int) -> Iterator[tuple[int, str]]:
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            yield descriptor, os.readlink(f"/proc/{pid}/fd/{descriptor}")


def _is_same_file(path: str, pid: int, descriptor: int) -> bool:
    """Whether what a process writes to is the file that has this path here: in a container, paths are others'."""
    try:
        return os.path.samestat(os.stat(path), os.stat(f"/proc/{pid}/fd/{descriptor}"))
    except OSError:
        return False


def _is_log(path: str, trials: str, server_log: str) -> bool:
    if path == server_log:
        return True
    folder, name = os.path.split(path)
    above, trial_id = os.path.split(folder)
    return above == trials and trial_id.isdigit() and RANK_LOG.match(name) is not None  # also one that was set aside
