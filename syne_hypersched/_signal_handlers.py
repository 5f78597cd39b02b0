"""Finds out from the kernel which signals a process handles."""

from __future__ import annotations

from collections.abc import Iterable


def has_handler(pid: int, signals: Iterable[int]) -> bool:
    """Whether a process has a handler for any of these signals; False if the process has ended."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            caught = next((int(line.split()[1], 16) for line in file if line.startswith(b"SigCgt:")), 0)
    except OSError:
        return False
    return any(caught >> (number - 1) & 1 for number in signals)
