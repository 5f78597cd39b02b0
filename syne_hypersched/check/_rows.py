"""A line of the table of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Status: TypeAlias = Literal["PASS", "FAIL", "UNKNOWN"]

#: Status, observation, and advice.
Finding: TypeAlias = tuple[Status, str, str]


@dataclass(frozen=True)
class CheckRow:
    """A property, and whether the script has it.

    .. code-block:: python

        for row in check_script("train.py", ["--epochs", "5"]).rows:
            print(row.status, row.name, row.found, row.advice)

    Attributes
    ----------
    name
        Short name of the property.
    status
        ``PASS``, ``FAIL``, or ``UNKNOWN``: it could not be judged.
    found
        The observation.
    advice
        What to change; empty unless the property has failed.
    log
        The last lines of the log, if a launch ended with an error.
    """

    name: str
    status: Status
    found: str
    advice: str = ""
    log: tuple[str, ...] = ()
