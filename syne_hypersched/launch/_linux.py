"""Services of Linux for process trees: death signals, subreapers, cheap forks."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from syne_hypersched.launch._identity import stat_fields

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_MADV_COLLAPSE = 25
#: Size of a huge page if the kernel does not tell it, and the least share of a region that must already be in memory.
_HUGE_PAGE, _LEAST_SHARE = 2 << 20, 0.75
_libc = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl({option}, {value}): {os.strerror(error)}")


def die_with_parent(parent_pid: int, signum: int = signal.SIGKILL) -> None:
    """Asks the kernel to send ``signum`` to this process when its parent dies.

    A child calls this right after the fork. ``parent_pid`` is its parent at the fork, so that a parent that has died in
    between is noticed.
    """
    _prctl(_PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signum)


def adopt_orphans() -> None:
    """Makes this process the parent of every descendant whose own parent dies, so that none escapes from its tree."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def children(pid: int | None = None) -> list[int]:
    """Processes whose parent is this one, or another, also those that have ended and are not reaped."""
    parent = os.getpid() if pid is None else pid
    return [child for child, other in _parents().items() if other == parent]


def descendants() -> list[int]:
    """Children of this process, their children, and so on."""
    parents, found = _parents(), [os.getpid()]
    for parent in found:  # which grows meanwhile
        found += [child for child, other in parents.items() if other == parent]
    return found[1:]


def _parents() -> dict[int, int]:
    """The parent of each process. The server has no ``psutil``, whose import takes longer than all this."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):  # it may have ended
                parents[int(name)] = int(stat_fields(name)[1])
    return parents


def kill_descendants() -> int:
    """Kills every descendant of this process, which adopts orphans, and returns their number when all are reaped.

    A process in an uninterruptible wait (a dead network disk, a driver) dies only when the kernel ends the wait. This
    function waits for it, because its devices are not free before.
    """
    pause_s = 0.001
    killed: set[int] = set()
    while _reap():
        # This process adopts the children of a killed one, and others may have forked meanwhile: look again.
        for pid in descendants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        if not _reap():
            break
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.1)
    return len(killed)


def _reap() -> bool:
    """Reaps children that have ended, and returns whether there are others.

    A process that adopts orphans has no descendants if it has no children. To look for them among all processes of the
    machine takes some milliseconds.
    """
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        return False
    return True


def use_huge_pages() -> int:
    """Has the kernel keep this process's own memory in huge pages, since a fork copies an entry for each page.

    What a child writes to is copied in small pages all the same. Kernels before 6.1, and some containers, cannot do it:
    then everything stays as it is.

    Returns
    -------
    int
        Bytes of the regions that are kept so now, as far as the kernel could.
    """
    size = _HUGE_PAGE
    with contextlib.suppress(OSError, ValueError):
        size = int(Path("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size").read_text())
    done = 0
    with contextlib.suppress(OSError, ValueError):
        for begin, end in _own_regions(Path("/proc/self/smaps").read_text(errors="surrogateescape")):
            first, last = -(-begin // size) * size, end // size * size
            if first < last and _libc.madvise(first, last - first, _MADV_COLLAPSE) == 0:
                done += last - first
    return done


def _own_regions(smaps: str) -> Iterator[tuple[int, int]]:
    """Regions of memory that belong to no file and are in use almost whole, unlike the stacks of threads."""
    begin, end, is_own = 0, 0, False
    for line in smaps.splitlines():
        name, *values = line.split()
        if not name.endswith(":"):
            begin, end = (int(address, 16) for address in name.split("-"))
            is_own = values[0] == "rw-p" and (len(values) == 4 or values[4].startswith(("[heap]", "[anon:")))
        elif name == "Rss:" and is_own and 1024 * int(values[0]) >= _LEAST_SHARE * (end - begin):
            yield begin, end
