"""Values: generations of a checkpoint folder, what is noted beside them, and both as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from syne_hypersched.checkpoints._files import FileState, Tree

Kept = Literal["moved", "new", "written"]
"""How a script makes a file: ``moved`` into place whole, ``new`` under a name of its own each time, or ``written`` in
place. Files of the first two kinds are not written to any more, so that a hard link keeps their content."""

Match = Literal["exact"] | int
"""How certain a match is: ``"exact"``, or by how many reports the generation may be newer than its report."""

_FORMAT = 1


@dataclass(frozen=True)
class Generation:
    """A state in which the checkpoint folder was whole."""

    number: int
    """Number of the generation; increases with every generation of a trial."""

    launch: int
    """Index of the launch that made it; -1: it existed before the first launch."""

    after: int
    """At least so many reports of the trial were printed before the first of its changes."""

    before: int
    """At most so many were printed before the last of its changes. Equal to ``after`` where no report came between."""

    live: Tree
    """The checkpoint folder as it was when this was taken."""

    kept: Mapping[str, Kept]
    """How each file was made."""

    level: float | None = None
    """Resource level of the ``after``-th report, if it is known. Work repeated from an older checkpoint has higher
    numbers of reports, but not higher levels."""

    is_first: bool = False
    """Whether its launch had not reported when it was written. Then it may be of a later level than the one after that
    report: each launch may have saved once more than it has reported."""

    bytes_copied: int = 0
    """Bytes that were copied for it."""

    def is_final(self, path: str) -> bool:
        """Whether a file will not be written to any more, so that a hard link can replace a copy."""
        return self.kept.get(path, "written") != "written"

    def newer_by(self, report: int) -> int:
        """How many reports newer than the ``report``-th it may be at most; below 0: it may be older."""
        return self.before + 1 - report if self.after >= report else -1


@dataclass(frozen=True)
class Matched:
    """A report and the generation that belongs to it."""

    report: int
    """The report is the trial's ``report``-th, counted from 1."""

    end: int
    """Where the report ends in the log (bytes)."""

    values: Mapping[str, Any]
    """What was reported."""

    launch: int
    """Index of the launch that has reported."""

    generation: int
    """Number of the generation."""

    match: Match
    """How certain the match is."""


@dataclass
class Notes:
    """What is recorded beside the generations themselves."""

    num_reports: int = 0
    """Reports of the trial so far."""

    num_generations: int = 0
    """The highest number of a generation so far."""

    log_end: int = 0
    """Bytes of the log in which they are."""

    best: dict[str, Any] | None = None
    """The best of them, as the matcher keeps it."""

    matched: list[Matched] = field(default_factory=list)
    """The last reports that were the best ones so far, and their generations."""

    left: Tree | None = None
    """The checkpoint folder as the last launch has left it, if it is or may be whole; None: that is not known."""

    is_whole: bool = False
    """Whether that is certain. If not, a launch tries it."""

    is_torn: bool = False
    """Whether the last launch was killed while it wrote there."""

    evidence: dict[str, Any] | None = None
    """What the matcher needs to learn from the next launch in which order the script saves and reports."""

    layout: list[str] = field(default_factory=list)
    """What a checkpoint consists of (``_layouts.py``), if that is known..."""

    num_processes: int = 0
    """...and how many processes have written it."""

    def is_whole_in(self, live: Tree) -> bool:
        """Whether the present folder is as the last launch has left it, and is certainly whole."""
        return self.is_whole and live == self.left


def values_of(generation: Generation) -> dict[str, Any]:
    """A generation as values that can be written as JSON."""
    return {**asdict(generation), "format": _FORMAT}


def generation_of(values: Mapping[str, Any]) -> Generation:
    """Inverse of :func:`values_of`.

    Raises
    ------
    AttributeError, KeyError, TypeError, ValueError
        The values are not those of a generation.
    """
    if values["format"] != _FORMAT:
        raise ValueError(f"the format of a generation must be {_FORMAT}, but is {values['format']!r}")
    data = {name: value for name, value in values.items() if name != "format"}
    data["live"] = {path: FileState(*state) for path, state in data["live"].items()}
    return Generation(**data)


def notes_of(values: Mapping[str, Any]) -> Notes:
    """Notes that were written as JSON.

    Raises
    ------
    AttributeError, KeyError, TypeError, ValueError
        The values are not those of notes.
    """
    left = values["left"]
    left = None if left is None else {path: FileState(*state) for path, state in left.items()}
    layout = list(values.get("layout", ()))
    matched = [Matched(**entry) for entry in values["matched"]]
    return Notes(**{**values, "left": left, "matched": matched, "layout": layout})
