"""Identifies a process permanently: pids are reused, and other machines have the same ones."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from syne_hypersched._moments import boot_id


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since the boot. Setting the clock does not change it.

    Returns
    -------
    int or None
        None if there is no such process, or it is a zombie.
    """
    try:
        state, *fields = stat_fields(pid)
    except (OSError, ValueError):
        return None
    return None if state in (b"Z", b"X") else int(fields[18])


def stat_fields(pid: int | str) -> list[bytes]:
    """The fields of ``/proc/PID/stat`` from the process's state on.

    Raises
    ------
    OSError
        There is no such process.
    """
    with open(f"/proc/{pid}/stat", "rb") as file:
        # The name of the program, in parentheses, may hold blanks and parentheses itself.
        return file.read().rpartition(b")")[2].split()


def identify(pids: Sequence[int]) -> dict[str, Any]:
    """Entries for an event that identify processes of this machine; :func:`is_same` reads them."""
    return {"pids": list(pids), "start_ticks": [start_ticks(pid) for pid in pids], **here()}


@cache
def here() -> dict[str, Any]:
    """Where the pids that this process sees are valid: this start of this host, and this pid namespace."""
    namespace = None
    with contextlib.suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")
    return {"host": socket.gethostname(), "boot_id": boot_id(), "pid_namespace": namespace}


def is_here(recorded: Mapping[str, Any]) -> bool:
    """Whether the pids in an event are valid here; False if the event lacks the entries for this."""
    return all(value is not None and recorded.get(name) == value for name, value in here().items())


def is_same(pid: int, started: object) -> bool:
    """Whether the process that has a pid now is the recorded one; :func:`is_here` must hold for the record."""
    return started is not None and start_ticks(pid) == started
