"""A line of the table of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Status: TypeAlias = Literal["PASS", "FAIL", "UNKNOWN"]

#: Status, what was seen, and what to change.
Finding: TypeAlias = tuple[Status, str, str]


@dataclass(frozen=True)
class CheckRow:
    """A property of a script, and whether the script has it."""

    name: str
    """The property, in few words."""
    status: Status
    """``UNKNOWN``: it could not be seen."""
    found: str
    """What was seen."""
    advice: str = ""
    """What to change; empty unless it failed."""
    log: tuple[str, ...] = ()
    """The last lines of the log, if a launch has ended with an error."""
