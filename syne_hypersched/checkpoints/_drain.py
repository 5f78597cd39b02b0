"""What is being written at the moment when the processes of a launch get SIGTERM."""

from __future__ import annotations

import os
import time

from syne_hypersched.checkpoints._files import Tree, read_tree
from syne_hypersched.checkpoints._leases import being_written
from syne_hypersched.checkpoints._observer import Observer
from syne_hypersched.checkpoints._writers import is_alive

#: So many files are looked at before SIGTERM.
_MOST_FILES = 256


def begin_drain(checkpoints: str, observer: Observer, may_wait: bool) -> tuple[bool, Tree | None]:
    """The processes get SIGTERM now, unless they must not, since one has just begun to save.

    Parameters
    ----------
    checkpoints
        The checkpoint folder.
    observer
        What was seen of it; learns which files are in doubt.
    may_wait
        Whether there is time to let them finish.

    Returns
    -------
    bool
        Whether they may get it.
    Tree or None
        What is there, if all of them are alive, and none is writing.
    """
    found = read_tree(checkpoints)  # first: what is written from now on makes a difference
    folder = os.path.realpath(checkpoints)
    # Of files that are mapped into memory, and were closed, there may be no event.
    files = [path for path, state in found.items() if state.kind == "file" and f"{folder}/{path}" not in observer.logs]
    mapped = being_written(folder, files[:_MOST_FILES])
    log_end, open_now = observer.log.size(), observer.open_files()
    has_changed = len(found) <= _MOST_FILES and read_tree(folder) != found  # nobody may ever know that it is whole
    if may_wait and (has_changed or observer.logs.awaited(open_now, time.monotonic())):
        return False, None  # no event has told of it yet
    writing = {os.path.relpath(path, folder) for path in open_now} | set(being_written(folder, mapped))
    is_in_doubt = observer.doubts.begin(writing, len(observer.pids) == 1, log_end)
    return True, found if not is_in_doubt and all(map(is_alive, observer.pids)) else None
