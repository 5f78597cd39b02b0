"""Keeps files unchanged while they are copied, by read leases of the kernel.

The kernel grants a read lease on a file only while no process has the file open for writing. After that, a process that
opens the file for writing, or truncates it, waits inside that call until the lease is given back. So files copied under
leases show one moment, even if the script writes again soon. Leases do not exist on some file systems, for files of
other users, and on systems other than Linux. Then the caller must find out in another way whether a file was written to
during the copy.

If a lease is not given back, the kernel takes it away after ``/proc/sys/fs/lease-break-time`` seconds (45).
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

#: ``F_SETSIG`` of ``fcntl``: the signal that informs the holder of a lease about a writer. SIGIO, the default, would
#: kill the holder; SIGURG is ignored.
_F_SETSIG = 10
#: Network file systems grant a lease only while their server has delegated the file to this machine. So a refusal does
#: not mean that a process writes, and a lease does not stop writers on other machines.
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3"})
#: With more files than this, too many descriptors would be needed.
_MOST_FILES = 256


class GivenUpError(Exception):
    """The copying was given up, because a process waited to write, or would have had to wait too long."""


class Patience:
    """How long processes may wait for leases: a share of the time, a little at the beginning, never long at once.

    Pure: times in, times out (monotonic seconds).

    Parameters
    ----------
    now_s
        When the launch began.
    """

    #: Share of the time that processes may spend on waiting.
    SHARE = 0.1
    #: So many seconds may be spent at once from the beginning. A launch that is to end is delayed no longer than this.
    FIRST_S = 0.5
    #: At most so many seconds are spent at once. The kernel takes a lease away much later.
    MOST_S = 10.0

    def __init__(self, now_s: float) -> None:
        self._left_s, self._at_s = self.FIRST_S, now_s

    def left_s(self, now_s: float) -> float:
        """For how many seconds a process may wait now."""
        self._left_s = min(self.MOST_S, self._left_s + self.SHARE * max(0.0, now_s - self._at_s))
        self._at_s = max(now_s, self._at_s)
        return max(0.0, self._left_s)

    def spend(self, waited_s: float, now_s: float) -> None:
        """Notes that a process has waited for so many seconds."""
        self.left_s(now_s)
        self._left_s -= waited_s


class Leases:
    """Leases on the files of a folder that are to be copied. The end of a ``with`` block gives all leases back.

    Parameters
    ----------
    folder
        The folder.
    sizes
        The files, relative to the folder, and their sizes (bytes).
    most_s
        Returns for how many seconds a process may wait. Called repeatedly.

    Attributes
    ----------
    are_granted
        Whether each file has a lease, so that none of them can be written to.
    waited_s
        For how many seconds a process has waited, at most.
    """

    def __init__(self, folder: str, sizes: Mapping[str, int], most_s: Callable[[], float] = lambda: 0.0) -> None:
        self._folder, self._paths, self._most_s = folder, tuple(sizes), most_s
        self._num_bytes, self._num_copied = sum(sizes.values()), 0
        self._fds: dict[str, int] = {}
        self.are_granted, self.waited_s = False, 0.0
        #: When the first lease was requested, and when no process was known to wait for the last time (monotonic).
        self._began_s = self._calm_s = time.monotonic()
        self._is_awaited = False

    def __enter__(self) -> Leases:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()

    def obtain(self) -> bool:
        """Requests the leases; returns False if a process writes to one of the files, or one is gone.

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
        """A path under which a file can be read, even after it was moved or removed; None: it has no lease."""
        fd = self._fds.get(path)
        return None if fd is None else f"/proc/self/fd/{fd}"

    def go_on(self, num_bytes: int) -> None:
        """Notes that so many more bytes are copied.

        Raises
        ------
        GivenUpError
            A process waits for the leases, and the rest of the copy would take too long.
        """
        self._num_copied += num_bytes
        now = time.monotonic()
        if not self._look(now) or not self._num_copied:
            return
        left_s = (self._num_bytes - self._num_copied) * (now - self._began_s) / self._num_copied
        if self.waited_s + left_s > self._most_s():
            raise GivenUpError("a process waits to write to a file that is being copied")

    def _look(self, now: float) -> bool:
        """Whether a process waits; notes how long."""
        if not self._is_awaited:
            self._is_awaited = any(fcntl.fcntl(fd, fcntl.F_GETLEASE) != fcntl.F_RDLCK for fd in self._fds.values())
        if self._is_awaited:
            self.waited_s = now - self._calm_s
        else:
            self._calm_s = now
        return self._is_awaited

    def were_kept(self) -> bool:
        """Whether it is certain that no file was written to since the leases were granted."""
        now = time.monotonic()
        is_awaited = self.are_granted and self._look(now)
        # The kernel takes a lease away only if a process had to wait for it.
        return self.are_granted and (not is_awaited or now - self._began_s < _break_time_s())

    def awaited(self) -> list[str]:
        """Files to which a process waits to write."""
        self._look(time.monotonic())
        return [path for path, fd in self._fds.items() if fcntl.fcntl(fd, fcntl.F_GETLEASE) != fcntl.F_RDLCK]

    def end(self) -> bool:
        """Gives the leases back; returns the same as :meth:`were_kept`."""
        were_kept = self.were_kept()
        self._give_back()
        self.are_granted = False
        return were_kept

    def _give_back(self) -> None:
        fds, self._fds = self._fds, {}
        for fd in fds.values():
            os.close(fd)


def open_with_lease(path: str) -> tuple[int, bool]:
    """Opens a file for reading, with a lease if possible; closing the file gives the lease back.

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


def is_being_written(path: str, otherwise: Callable[[str], bool] = lambda _: False) -> bool:
    """Whether any process has a file open for writing, or is inside an ``open`` that has already truncated the file.

    A process that opens the file at the same time waits for some microseconds.

    Parameters
    ----------
    path
        The file. False if it is missing.
    otherwise
        Tells the same about a path, if there are no leases.
    """
    try:
        fd, is_granted = open_with_lease(path)
    except BlockingIOError:
        return True
    except OSError:
        return False
    os.close(fd)
    return not is_granted and otherwise(path)


def being_written(folder: str, paths: Iterable[str]) -> list[str]:
    """The files of a folder that a process is writing to, even through a memory mapping after the file was closed."""
    return [path for path in paths if is_being_written(os.path.join(folder, path))]


@cache
def _is_on_network(device: int) -> bool:
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return file_system_of(lines, os.major(device), os.minor(device)) in _NETWORK


def file_system_of(lines: Collection[str], major: int, minor: int) -> str:
    """The type of a device's file system, from the lines of ``/proc/self/mountinfo``; empty if it is not listed."""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) > 2 and fields[2] == f"{major}:{minor}" and after:
            return after.split()[0]
    return ""


def _break_time_s() -> float:
    """Seconds after which the kernel takes a lease away, if a process waits for it."""
    try:
        with open("/proc/sys/fs/lease-break-time") as file:
            seconds = int(file.read())
    except (OSError, ValueError):
        seconds = 45
    return seconds if seconds > 0 else float("inf")
