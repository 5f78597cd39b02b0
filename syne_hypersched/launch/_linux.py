"""Services of Linux for process trees: death signals, subreapers, and which signals a process handles."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl({option}, {value}): {os.strerror(error)}")


def die_with_parent(parent_pid: int, signum: int = signal.SIGKILL) -> None:
    """Has the kernel send ``signum`` to this process when its parent dies.

    A child calls this right after the fork. ``parent_pid`` is its parent at the fork, so that a parent that has died in
    between is noticed.
    """
    _prctl(_PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signum)


def handles(pid: int, signum: int) -> bool:
    """Whether a process has a handler of its own for a signal; False if there is no such process."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", "rb") as status:
        for line in status:
            if line.startswith(b"SigCgt:"):
                return bool(int(line.split()[1], 16) >> (signum - 1) & 1)
    return False


def adopt_orphans() -> None:
    """Makes this process the parent of every descendant whose own parent dies, so that none escapes from its tree."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def kill_descendants() -> None:
    """Kills every descendant of this process, which adopts orphans, and returns when all are reaped.

    A process in an uninterruptible wait (a dead network disk, a driver) dies only when the kernel ends the wait. This
    function waits for it, because its devices are not free before.
    """
    me = psutil.Process()
    pause_s = 0.001
    while True:
        # This process adopts the children of a killed one, and others may have forked meanwhile: look again.
        for process in me.children(recursive=True):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
        except ChildProcessError:
            return
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.1)
