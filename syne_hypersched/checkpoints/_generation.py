"""Generations of a checkpoint folder, the notes beside them, and both as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from syne_hypersched.checkpoints._files import FileState, Tree

Kept = Literal["moved", "new", "written"]
"""How a script writes a file: ``moved`` into place whole, ``new`` under a new name each time, or ``written`` in place.
Files of the first two kinds are not written to any more, so a hard link keeps their content. A file that was moved into
place also counts as ``new`` until an earlier file of its name was replaced although it had a hard link."""

Match = Literal["exact"] | int
"""How certain a match is: ``"exact"``, or by how many reports the generation may be newer than its report."""

_FORMAT = 1


@dataclass(frozen=True)
class Generation:
    """The checkpoint folder at a moment when it was whole."""

    number: int
    """Number of the generation; increases with every generation of a trial."""

    launch: int
    """Index of the launch that wrote it; -1: it existed before the first launch."""

    after: int
    """At least this many reports of the trial were printed before the first of its changes."""

    before: int
    """At most this many were printed before the last of its changes. Equal to ``after`` if no report came between."""

    live: Tree
    """The checkpoint folder when this generation was taken."""

    kept: Mapping[str, Kept]
    """How the script wrote each file."""

    level: float | None = None
    """Resource level of the ``after``-th report, if it is known. If work is repeated from an older checkpoint, the
    numbers of reports go on rising, but the levels do not."""

    is_first: bool = False
    """Whether it was written before the first report of its launch. Then its level may be higher than the level after
    that report: each launch may have saved once more than it has reported."""

    bytes_copied: int = 0
    """Number of bytes copied for it."""

    def is_final(self, path: str) -> bool:
        """Whether a file will not be written to any more, so that a hard link can replace a copy."""
        return self.kept.get(path, "written") != "written"

    def newer_by(self, report: int) -> int:
        """By how many reports it may be newer than the ``report``-th, at most; below 0: it may be older."""
        return self.before + 1 - report if self.after >= report else -1


@dataclass(frozen=True)
class Matched:
    """A report and the generation that matches it."""

    report: int
    """Number of the report within the trial, counted from 1."""

    end: int
    """Where the report ends in the log (bytes)."""

    values: Mapping[str, Any]
    """The entries of the report."""

    launch: int
    """Index of the launch that printed the report."""

    generation: int
    """Number of the generation."""

    match: Match
    """How certain the match is."""


@dataclass
class Notes:
    """Data recorded beside the generations."""

    num_reports: int = 0
    """Number of reports of the trial so far."""

    num_generations: int = 0
    """The highest number of a generation so far."""

    log_end: int = 0
    """Size of the log that contains these reports (bytes)."""

    best: dict[str, Any] | None = None
    """The best report, as the matcher keeps it."""

    matched: list[Matched] = field(default_factory=list)
    """The last reports that were the best ones when they came, and their generations."""

    left: Tree | None = None
    """The checkpoint folder that the last launch left, if it is or may be whole; None: unknown."""

    is_whole: bool = False
    """Whether ``left`` is certainly whole. If not, the next launch tries to load it."""

    is_torn: bool = False
    """Whether the last launch was killed while it wrote to the folder."""

    evidence: dict[str, Any] | None = None
    """Data from which the matcher can infer, with the next launch, in which order the script saves and reports."""

    layout: list[str] = field(default_factory=list)
    """What a checkpoint consists of (``_layouts.py``), if that is known."""

    num_processes: int = 0
    """Number of processes that wrote the checkpoint of ``layout``."""

    def is_whole_in(self, live: Tree) -> bool:
        """Whether the folder is as the last launch left it, and is certainly whole."""
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
    """Notes from values that were written as JSON.

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
