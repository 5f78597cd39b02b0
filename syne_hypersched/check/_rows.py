"""A line of the table of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Status: TypeAlias = Literal["PASS", "FAIL", "UNKNOWN"]

#: Status, what was seen, and what to change.
Finding: TypeAlias = tuple[Status, str, str]


@dataclass(frozen=True)
class CheckRow:
    """A property of a script, and whether the script has it.

    .. code-block:: python

        for row in check_script("train.py", ["--epochs", "5"]).rows:
            print(row.status, row.name, row.found, row.advice)

    Attributes
    ----------
    name
        The property, in few words.
    status
        ``UNKNOWN``: it could not be seen.
    found
        What was seen.
    advice
        What to change; empty unless it failed.
    log
        The last lines of the log, if a launch has ended with an error.
    """

    name: str
    status: Status
    found: str
    advice: str = ""
    log: tuple[str, ...] = ()
