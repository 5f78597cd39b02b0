"""Finds the files that are being written when the processes of a launch get SIGTERM."""

from __future__ import annotations

import os
import time

from syne_hypersched.checkpoints._files import Tree, read_tree
from syne_hypersched.checkpoints._leases import being_written
from syne_hypersched.checkpoints._observer import Observer
from syne_hypersched.checkpoints._writers import is_alive

#: At most this many files are examined before SIGTERM.
_MOST_FILES = 256


def begin_drain(checkpoints: str, observer: Observer, may_wait: bool) -> tuple[bool, Tree | None]:
    """Prepares for SIGTERM, unless a process has just begun to save and must not get it yet.

    Parameters
    ----------
    checkpoints
        The checkpoint folder.
    observer
        Observations of the folder; it receives the files in doubt.
    may_wait
        Whether there is time to wait for a save.

    Returns
    -------
    bool
        Whether the processes may get SIGTERM.
    Tree or None
        The content of the folder, if all processes are alive and none is writing.
    """
    found = read_tree(checkpoints)  # first, so that any later write shows as a difference
    folder = os.path.realpath(checkpoints)
    # If a file is mapped into memory and was closed, writing to it may cause no event.
    files = [path for path, state in found.items() if state.kind == "file" and f"{folder}/{path}" not in observer.logs]
    mapped = being_written(folder, files[:_MOST_FILES])
    log_end, open_now = observer.log.size(), observer.open_files()
    has_changed = len(found) <= _MOST_FILES and read_tree(folder) != found  # later, nothing may show that it is whole
    if may_wait and (has_changed or observer.logs.awaited(open_now, time.monotonic())):
        return False, None  # no event has shown this write yet
    writing = {os.path.relpath(path, folder) for path in open_now} | set(being_written(folder, mapped))
    is_in_doubt = observer.doubts.begin(writing, len(observer.pids) == 1, log_end)
    return True, found if not is_in_doubt and all(map(is_alive, observer.pids)) else None
