"""Finds which processes write to files below a folder, from ``/proc``."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from collections.abc import Iterable

#: The kernel has begun to end the process (``PF_EXITING`` in ``include/linux/sched.h``).
_PF_EXITING = 0x4
#: ``F_SETSIG`` of ``fcntl``: the signal by which the holder of a lease is told of a writer. SIGIO, the default, kills.
_F_SETSIG = 10


def open_for_writing(pids: Iterable[int], folder: str) -> frozenset[str]:
    """Files below a folder that processes, or processes that they have started, have open for writing.

    Parameters
    ----------
    pids
        The processes. One that has ended, or belongs to another user, counts as having no open files.
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


def is_being_written(path: str) -> bool:
    """Whether any process has a file open for writing, or is inside an ``open`` that has already truncated the file.

    The kernel grants a read lease on a file only if no process writes to it. The lease is released at once; a process
    that opens the file meanwhile waits until then. False where the file system has no leases, or the file is missing.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.fcntl(fd, _F_SETSIG, signal.SIGURG)  # nobody notices the lease
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False


def is_alive(pid: int) -> bool:
    """Whether a process exists and the kernel has not begun to end it."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name may hold anything, brackets too.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return False
    return fields[0] not in (b"Z", b"X") and not int(fields[6]) & _PF_EXITING
