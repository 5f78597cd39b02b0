"""How a launch handles its trial's checkpoints, and its results: values that processes exchange as JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckpointSpec:
    """What the supervisor of a launch needs to know about checkpoints."""

    folder: str
    """The trial's checkpoint folder, which need not exist."""

    log: str
    """The log that contains the reports."""

    launch: int
    """Index of the launch."""

    num_reports: int = 0
    """Number of reports that earlier launches have left in the log."""

    log_end: int = 0
    """Number of bytes of the log that have been read."""

    go_back_from: int | None = None
    """The last launch could not continue from this generation, so the next launch begins with the one before it."""

    keep: int = 2
    """Number of generations to keep, besides that of the best report."""

    min_free_bytes: int = 0
    """Nothing is copied if the disk has fewer free bytes than this."""

    order: str = "unknown"
    """In which order the script saves and reports, see :class:`~syne_hypersched.checkpoints._states.Order`."""

    time_attr: str | None = None
    metric: str | None = None
    do_minimize: bool = True
    """Names of the resource level and the metric in a report; ``None``: not known yet."""

    able_path: str = ""
    """A file that the script makes if processes can join the launch. Then the script may write other files than at its
    beginning. Empty: no process can join."""


@dataclass(frozen=True)
class Beginning:
    """From which checkpoint a launch begins."""

    generation: int | None = None
    """The generation in the checkpoint folder; None if the folder is empty or holds no known generation."""

    go_back_from: int | None = None
    """The next launch's :attr:`CheckpointSpec.go_back_from` if this launch cannot continue; None: nothing is older."""

    restored: str = ""
    """Why the folder was replaced by that generation; empty if it was not replaced."""

    error: str = ""
    """Why the folder could not be replaced."""


@dataclass(frozen=True)
class Ending:
    """How a launch has left the checkpoint folder."""

    is_whole: bool = True
    """Whether no process was killed while it wrote to the folder."""

    has_changed: bool = False
    """Whether anything in the folder changed during the launch."""

    num_taken: int = 0
    """Number of generations taken during the launch."""

    bytes_copied: int = 0
    """Number of bytes copied for them."""

    order: str = "unknown"
    """The order in which the script saves and reports, as far as it is known."""

    error: str = ""
    """Why generations could not be taken; empty if there was no problem."""
