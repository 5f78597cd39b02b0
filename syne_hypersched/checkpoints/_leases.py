"""Keeps files as they are while they are copied, by read leases of the kernel.

The kernel grants a read lease on a file only while no process has it open for writing. From then on, a process that
opens the file for writing, or truncates it, waits inside that call until the lease is given back. So what is copied
under leases is the state of one moment, however soon the script writes again. File systems without leases, files of
other users and systems other than Linux refuse them: then the caller must find out by other means whether a file was
written to meanwhile.

A lease that is not given back for ``/proc/sys/fs/lease-break-time`` seconds (45) is taken away by the kernel.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from types import TracebackType

#: ``F_SETSIG`` of ``fcntl``: the signal by which the holder of a lease is told of a writer. SIGIO, the default, kills;
#: SIGURG is ignored.
_F_SETSIG = 10
#: Network file systems grant a lease only while their server has delegated the file to this machine. So a refusal does
#: not mean that somebody writes, and a lease does not keep writers on other machines out.
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3"})
#: More files than so many would need too many descriptors.
_MOST_FILES = 256


class GivenUpError(Exception):
    """Files were not held until they were copied, because a process has waited to write, or would wait for too long."""


class Patience:
    """How long processes may wait for leases: a share of the time, a little at the beginning, and not long at once.

    Pure: times in, times out (monotonic seconds).

    Parameters
    ----------
    now_s
        When the launch began.
    """

    #: Share of the time that processes may spend on waiting.
    SHARE = 0.1
    #: So many seconds may be spent at once, from the beginning. A launch that is to end is not delayed for longer.
    FIRST_S = 0.5
    #: No more than so many seconds are spent at once, well below the time after which the kernel takes a lease away.
    MOST_S = 10.0

    def __init__(self, now_s: float) -> None:
        self._left_s, self._at_s = self.FIRST_S, now_s

    def left_s(self, now_s: float) -> float:
        """For how many seconds a process may be kept waiting now."""
        self._left_s = min(self.MOST_S, self._left_s + self.SHARE * max(0.0, now_s - self._at_s))
        self._at_s = max(now_s, self._at_s)
        return max(0.0, self._left_s)

    def spend(self, waited_s: float, now_s: float) -> None:
        """A process has waited for so many seconds."""
        self.left_s(now_s)
        self._left_s -= waited_s


class Leases:
    """Leases on the files of a folder that are to be copied. Use it in a ``with`` block, whose end gives all back.

    Parameters
    ----------
    folder
        The folder.
    sizes
        The files, relative to it, and their bytes.
    most_s
        For how many seconds a process may be kept waiting. Asked again and again.

    Attributes
    ----------
    are_granted
        Whether there is a lease on each file, so that none of them can be written to.
    waited_s
        For how many seconds a process has waited, at most.
    """

    def __init__(self, folder: str, sizes: Mapping[str, int], most_s: Callable[[], float] = lambda: 0.0) -> None:
        self._folder, self._paths, self._most_s = folder, tuple(sizes), most_s
        self._num_bytes, self._num_copied = sum(sizes.values()), 0
        self._fds: dict[str, int] = {}
        self.are_granted, self.waited_s = False, 0.0
        #: When the first lease was asked for, and when nobody was known to wait (monotonic seconds).
        self._began_s = self._calm_s = time.monotonic()
        self._is_awaited = False

    def __enter__(self) -> Leases:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()

    def obtain(self) -> bool:
        """Asks for the leases; returns False if a process writes to one of the files, or one is gone.

        Raises
        ------
        OSError
            A file cannot be read.
        """
        is_refused = len(self._paths) > _MOST_FILES
        self._began_s = self._calm_s = time.monotonic()
        for path in () if is_refused else self._paths:
            try:
                fd, is_granted = open_with_lease(os.path.join(self._folder, path))
            except (BlockingIOError, FileNotFoundError):
                self._give_back()
                return False
            if not is_granted:
                os.close(fd)
                is_refused = True
                break
            self._fds[path] = fd
        if is_refused:
            self._give_back()
        self.are_granted = not is_refused
        return True

    def place(self, path: str) -> str | None:
        """A path at which a file can be read, also after it was moved or removed; None: there is no lease on it."""
        fd = self._fds.get(path)
        return None if fd is None else f"/proc/self/fd/{fd}"

    def go_on(self, num_bytes: int) -> None:
        """So many more bytes are copied.

        Raises
        ------
        GivenUpError
            A process waits for the leases, and what is left to copy would take too long.
        """
        self._num_copied += num_bytes
        now = time.monotonic()
        if not self._look(now) or not self._num_copied:
            return
        left_s = (self._num_bytes - self._num_copied) * (now - self._began_s) / self._num_copied
        if self.waited_s + left_s > self._most_s():
            raise GivenUpError("a process waits to write to a file that is being copied")

    def _look(self, now: float) -> bool:
        """Whether a process waits; notes for how long."""
        if not self._is_awaited:
            self._is_awaited = any(fcntl.fcntl(fd, fcntl.F_GETLEASE) != fcntl.F_RDLCK for fd in self._fds.values())
        if self._is_awaited:
            self.waited_s = now - self._calm_s
        else:
            self._calm_s = now
        return self._is_awaited

    def were_kept(self) -> bool:
        """Whether nobody can have written to a file since the leases were granted."""
        now = time.monotonic()
        is_awaited = self.are_granted and self._look(now)
        # The kernel takes a lease away only from who has kept a process waiting.
        return self.are_granted and (not is_awaited or now - self._began_s < _break_time_s())

    def awaited(self) -> list[str]:
        """Files to which a process waits to write."""
        self._look(time.monotonic())
        return [path for path, fd in self._fds.items() if fcntl.fcntl(fd, fcntl.F_GETLEASE) != fcntl.F_RDLCK]

    def end(self) -> bool:
        """Gives the leases back; returns what :meth:`were_kept` does."""
        were_kept = self.were_kept()
        self._give_back()
        self.are_granted = False
        return were_kept

    def _give_back(self) -> None:
        fds, self._fds = self._fds, {}
        for fd in fds.values():
            os.close(fd)


def open_with_lease(path: str) -> tuple[int, bool]:
    """Opens a file for reading, with a lease if there are any; closing it gives the lease back.

    Returns
    -------
    int and bool
        The descriptor, and whether it has a lease.

    Raises
    ------
    BlockingIOError
        A process has the file open for writing, or is inside an ``open`` that has already truncated the file.
    OSError
        The file is missing, or cannot be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if _is_on_network(os.fstat(fd).st_dev):
            return fd, False
        fcntl.fcntl(fd, _F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        os.close(fd)
        raise
    except (OSError, AttributeError):  # not Linux
        return fd, False
    return fd, True


def is_being_written(path: str) -> bool:
    """Whether any process has a file open for writing, or is inside an ``open`` that has already truncated the file.

    False where there are no leases, or the file is missing. A process that opens the file meanwhile waits for some
    microseconds.
    """
    try:
        fd, _ = open_with_lease(path)
    except BlockingIOError:
        return True
    except OSError:
        return False
    os.close(fd)
    return False


def being_written(folder: str, paths: Iterable[str]) -> list[str]:
    """Those of some files of a folder that a process writes to, also through a mapping of a file that it has closed."""
    return [path for path in paths if is_being_written(os.path.join(folder, path))]


@cache
def _is_on_network(device: int) -> bool:
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return file_system_of(lines, os.major(device), os.minor(device)) in _NETWORK


def file_system_of(lines: Collection[str], major: int, minor: int) -> str:
    """The type of the file system of a device, from the lines of ``/proc/self/mountinfo``; empty if it is not there."""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) > 2 and fields[2] == f"{major}:{minor}" and after:
            return after.split()[0]
    return ""


def _break_time_s() -> float:
    """After so many seconds the kernel takes a lease away, if a process waits for it."""
    try:
        with open("/proc/sys/fs/lease-break-time") as file:
            seconds = int(file.read())
    except (OSError, ValueError):
        seconds = 45
    return seconds if seconds > 0 else float("inf")
