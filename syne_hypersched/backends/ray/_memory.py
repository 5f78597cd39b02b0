"""Ends the largest trial of a node before the node runs out of memory: Ray and the kernel would end something else."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from syne_hypersched.backends.machine.control_groups import control_groups

#: Files of a control group, in the second and the first version: the limit, what is used, and what of it is a cache
#: of files that is given up when needed.
_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def choose_hog(sizes: Mapping[int, int], used: float, most: float) -> int | None:
    """The launch to be ended, the largest one; None: there is memory enough, or nothing runs.

    Parameters
    ----------
    sizes
        Bytes of each launch.
    used, most
        Share of the node's memory that is used, and that may be.
    """
    if used < most or not sizes:
        return None
    return max(sizes, key=lambda launch: (sizes[launch], launch))


class MemoryGuard:
    """See the module.

    Parameters
    ----------
    most
        Share of the memory that may be used.
    """

    def __init__(self, most: float) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._pids: dict[int, Sequence[int]] = {}
        #: The launch that was ended, until it is gone: no other one is ended before.
        self._ended: int | None = None

    def add(self, launch: int, pids: Sequence[int]) -> None:
        """Adds a launch with its ranks."""
        with self._lock:
            self._pids[launch] = tuple(pids)

    def remove(self, launch: int) -> None:
        """Removes a launch that has ended."""
        with self._lock:
            self._pids.pop(launch, None)
            if self._ended == launch:
                self._ended = None

    def look(self) -> tuple[int, str] | None:
        """Kills the ranks of the largest launch if memory is short; returns the launch and the message about it."""
        used = used_memory()
        if used < self._most:
            return None
        with self._lock:
            if self._ended is not None:
                return None
            sizes = {launch: sum(map(_size, pids)) for launch, pids in self._pids.items()}
            launch = choose_hog(sizes, used, self._most)
            if launch is None:
                return None
            self._ended = launch
            for pid in self._pids[launch]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return launch, f"{used:.0%} of the memory were used; it had {sizes[launch] / 1e9:.1f} GB, the most"


def used_memory(root: Path = Path("/")) -> float:
    """Share of the memory that is used: of this machine, or of the fullest control group of this process.

    Parameters
    ----------
    root
        Folder with ``proc`` and the mounted control groups.
    """
    groups = [used for folder in control_groups("memory", root) if (used := _used_of(folder)) is not None]
    return float(max([psutil.virtual_memory().percent / 100, *groups]))


def _used_of(folder: Path) -> float | None:
    """Share of its limit that a control group uses; None: it has none."""
    for limit, current, cache in _FILES:
        with contextlib.suppress(OSError, ValueError, KeyError, ZeroDivisionError):
            fields = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            used = int((folder / current).read_text()) - int(fields[cache])
            return used / int((folder / limit).read_text())  # "max" is no number
    return None


def _size(pid: int) -> int:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        own = process.memory_info()
        total = own.rss - own.shared
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                total += child.memory_info().rss
        return int(total)
    return 0
