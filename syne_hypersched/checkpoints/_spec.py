"""How a launch handles its trial's checkpoints, and the results: values that are sent between processes as JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckpointSpec:
    """What the supervisor of a launch needs to know about checkpoints."""

    folder: str
    """The trial's checkpoint folder, which need not exist."""

    log: str
    """The log in which the reports are."""

    launch: int
    """Index of the launch."""

    num_reports: int = 0
    """Reports that the launches before have left in the log..."""

    log_end: int = 0
    """...and how many bytes of it have been read."""

    go_back_from: int | None = None
    """The last launch could not go on from this generation: the next launch begins with the one before it."""

    keep: int = 2
    """Generations that are kept, besides the one of the best report."""

    min_free_bytes: int = 0
    """Free bytes on the disk below which nothing is copied."""

    order: str = "unknown"
    """In which order the script saves and reports, see :class:`~syne_hypersched.checkpoints._states.Order`."""

    time_attr: str | None = None
    metric: str | None = None
    do_minimize: bool = True
    """Entries of a report that are the resource level and the metric; ``None``: not known yet."""

    able_path: str = ""
    """A file that the script makes if processes can join the launch, and may then write other files than it began with;
    empty: none can."""


@dataclass(frozen=True)
class Beginning:
    """From which checkpoint a launch begins."""

    generation: int | None = None
    """The generation that is in the checkpoint folder; None if the folder holds no known one, or is empty."""

    go_back_from: int | None = None
    """The next launch's :attr:`CheckpointSpec.go_back_from` if this one cannot go on; None: there is no older one."""

    restored: str = ""
    """Why the folder was replaced by that generation; empty if it was left as it was."""

    error: str = ""
    """Why the folder could not be replaced."""


@dataclass(frozen=True)
class Ending:
    """How a launch has left the checkpoint folder."""

    is_whole: bool = True
    """Whether no process was killed while it wrote there."""

    has_changed: bool = False
    """Whether anything was changed there during the launch."""

    num_taken: int = 0
    """Generations that were taken during the launch."""

    bytes_copied: int = 0
    """Bytes that were copied for them."""

    order: str = "unknown"
    """The order in which the script saves and reports, as far as it is known now."""

    error: str = ""
    """Why generations could not be taken; empty if they could."""
