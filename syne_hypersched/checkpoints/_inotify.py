"""Events of a folder from the kernel, without polling (inotify)."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

MODIFY = 0x2
ATTRIB = 0x4
CLOSE_WRITE = 0x8
MOVED_FROM = 0x40
MOVED_TO = 0x80
CREATE = 0x100
DELETE = 0x200
DELETE_SELF = 0x400
Q_OVERFLOW = 0x4000
IGNORED = 0x8000
ONLYDIR = 0x1000000
DONT_FOLLOW = 0x2000000
ISDIR = 0x40000000

#: The limit that was reached when the kernel refuses, and the setting to raise.
_LIMITS = {
    errno.EMFILE: ("too many programs of this user watch files", "max_user_instances"),
    errno.ENOSPC: ("the programs of this user watch too many folders", "max_user_watches"),
}
_HEADER = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


class InotifyEvent(NamedTuple):
    """One event. ``mask`` has the bits of this module; ``name`` is the entry's name, empty for the watched file itself.

    The two events of one move have the same ``cookie``.
    """

    watch: int
    mask: int
    cookie: int
    name: str


class Inotify:
    """One queue of events.

    Raises
    ------
    OSError
        The kernel refuses another queue: ``fs.inotify.max_user_instances`` is reached, or there is no inotify.
    """

    def __init__(self) -> None:
        self.fd = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify_init1")

    def add(self, path: str, mask: int) -> int:
        """Watches a file or folder. Returns the number of the watch, which is always the same for the same file.

        Raises
        ------
        OSError
            There is no such file, or ``fs.inotify.max_user_watches`` is reached.
        """
        return _checked(_libc.inotify_add_watch(self.fd, os.fsencode(path), ctypes.c_uint32(mask)), path)

    def remove(self, watch: int) -> None:
        """Ends a watch. It is no error if the watch has ended already."""
        _libc.inotify_rm_watch(self.fd, watch)

    def read(self) -> list[InotifyEvent]:
        """The events since the last call, in order."""
        events: list[InotifyEvent] = []
        while True:
            try:
                data = os.read(self.fd, 1 << 16)
            except BlockingIOError:
                return events
            events += _parse(data)

    def close(self) -> None:
        """Ends all watches."""
        os.close(self.fd)


def _parse(data: bytes) -> Iterator[InotifyEvent]:
    offset = 0
    while offset < len(data):
        watch, mask, cookie, length = _HEADER.unpack_from(data, offset)
        offset += _HEADER.size
        yield InotifyEvent(watch, mask, cookie, os.fsdecode(data[offset : offset + length].rstrip(b"\0")))
        offset += length


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, _reason(number), what)
    return result


def _reason(number: int) -> str:
    if number not in _LIMITS:
        return os.strerror(number)
    what, setting = _LIMITS[number]
    try:
        with open(f"/proc/sys/fs/inotify/{setting}") as file:
            now = f", which is {file.read().strip()}"
    except OSError:
        now = ""
    return f"{what}; the limit is the kernel's setting fs.inotify.{setting}{now}"
