"""Finds which processes write to files below a folder, from ``/proc``."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable

#: A process with this flag is being ended by the kernel (``PF_EXITING`` in ``include/linux/sched.h``).
_PF_EXITING = 0x4


def open_for_writing(pids: Iterable[int], folder: str) -> frozenset[str]:
    """Files below a folder that processes, or their descendants, have open for writing.

    Parameters
    ----------
    pids
        The processes. A process that has ended, or belongs to another user, counts as having no open files.
    folder
        The folder, without symbolic links in its path.
    """
    prefix = folder.rstrip("/") + "/"
    found = set()
    for pid in _with_descendants(pids):
        # The process may end at any moment.
        with contextlib.suppress(OSError):
            for number in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    path = os.readlink(f"/proc/{pid}/fd/{number}")
                    if path.startswith(prefix) and _writes(pid, number):
                        found.add(path)
    return frozenset(found)


def _writes(pid: int, number: str) -> bool:
    if not stat.S_ISREG(os.stat(f"/proc/{pid}/fd/{number}").st_mode):
        return False  # a pipe or a device
    with open(f"/proc/{pid}/fdinfo/{number}", "rb") as file:
        flags = next((line.split()[1] for line in file if line.startswith(b"flags:")), b"0")
    return int(flags, 8) & os.O_ACCMODE != os.O_RDONLY


def _with_descendants(pids: Iterable[int]) -> list[int]:
    todo, found = list(pids), []
    while todo:
        pid = todo.pop()
        found.append(pid)
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                    todo += [int(child) for child in file.read().split()]
    return found


def is_alive(pid: int) -> bool:
    """Whether a process exists and the kernel has not begun to end it."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name may contain anything, even brackets.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return False
    return fields[0] not in (b"Z", b"X") and not int(fields[6]) & _PF_EXITING
