"""Whether the tuner of a run is alive."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from syne_hypersched.filenames import JOURNAL_DIRNAME, LOCK_FILENAME

#: A run whose processes cannot be asked counts as running if something happened within this many seconds.
QUIET_S = 120.0


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
    return is_process(int(words[1])) and quiet_s < QUIET_S


def is_process(pid: object) -> bool:
    """Whether there is a process with this number on this machine."""
    return isinstance(pid, int) and os.path.exists(f"/proc/{pid}/status")
