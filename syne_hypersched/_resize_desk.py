"""The files by which a backend and a training script agree on another number of processes, while the script trains.

A backend *orders* a change; the first process of the script *takes* it between two steps, once all new processes are
ready, and *answers* with the result. Until it is taken, the backend may *withdraw* it. Both rename the same file,
so that exactly one of them succeeds. ``docs/joining.md`` has the protocol.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESIZE_DIR = "SYNE_HYPERSCHED_RESIZE_DIR"
"""Environment variable with the folder of these files; a script without it is never changed while it trains."""

JOINS = "SYNE_HYPERSCHED_JOINS"
"""Environment variable of a new process: the number of the change for which it was started."""

_ORDER = "order"
_ABLE = "able"
_UNABLE = "unable"
_OVER = "over"


@dataclass(frozen=True)
class RankChange:
    """Another number of processes for a launch that trains."""

    number: int
    """Counted from 0 in each launch."""
    before: int
    """Processes when it is ordered."""
    after: int
    """Processes that it leads to."""
    gone: tuple[int, ...] = ()
    """The ranks that leave; by default the last ones, if there are to be fewer. Rank 0 leads the change, and stays."""

    def __post_init__(self) -> None:
        gone = tuple(sorted(self.gone)) or tuple(range(self.after, self.before))
        object.__setattr__(self, "gone", gone)
        num_gone = max(0, self.before - self.after)
        if len(gone) != num_gone or not set(gone) <= set(range(1, self.before)):
            raise ValueError(f"gone must name {num_gone} ranks from 1 to {self.before - 1}, each once, but got {gone}")

    @property
    def new_ranks(self) -> range:
        """The ranks that join."""
        return range(self.before, self.after)

    @property
    def staying(self) -> tuple[int, ...]:
        """The ranks that stay; their positions are their ranks afterwards."""
        return tuple(rank for rank in range(self.before) if rank not in self.gone)


@dataclass(frozen=True)
class ChangeOutcome:
    """What has become of a change."""

    number: int
    """That of the change."""
    is_done: bool
    """Whether the script trains on with the other number of processes."""
    why: str = ""
    """What has prevented it."""
    time: float = 0.0
    """When training went on, in seconds since the epoch."""
    pause_s: float = 0.0
    """Seconds between two steps for which no process has trained."""
    transfer_s: float = 0.0
    """Seconds of them in which the state went to the new processes."""


class ResizeDesk:
    """See the module. Each method is one file operation, or few, and none waits.

    Parameters
    ----------
    folder
        A folder for one launch.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = str(folder)
        self._order = f"{self.folder}/{_ORDER}"

    # What the backend calls.

    def open(self) -> None:
        """Makes the folder, empty.

        Raises
        ------
        OSError
            It cannot be made.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder, mode=0o700)

    @property
    def is_able(self) -> bool:
        """Whether the script has announced that its processes can change while it trains."""
        return os.path.exists(self.able_path)

    @property
    def able_path(self) -> str:
        """The file by which it announces that."""
        return f"{self.folder}/{_ABLE}"

    @property
    def why_unable(self) -> str:
        """Why its processes cannot change, in the words of the script; empty if it has not said so."""
        return str(self._read(_UNABLE) or "")

    @property
    def is_over(self) -> bool:
        """Whether the training has ended, so that a change would find no step any more."""
        return os.path.exists(f"{self.folder}/{_OVER}")

    def order(self, change: RankChange) -> None:
        """Orders a change; there must be no other that is neither withdrawn nor answered."""
        self._write(_ORDER, asdict(change))

    def withdraw(self, change: RankChange) -> bool:
        """Withdraws a change; False if the script has taken it."""
        return self._rename(change, "withdrawn")

    def give_up(self, change: RankChange) -> None:
        """Announces that a new process has died, so that the others stop waiting."""
        self._write(f"{change.number}.dead", None)

    def outcome(self, change: RankChange) -> ChangeOutcome | None:
        """What has become of a change; None: nothing yet."""
        found = self._read(f"{change.number}.outcome")
        return None if found is None else ChangeOutcome(**found)

    def ready_times(self, change: RankChange) -> dict[int, float]:
        """When new processes were ready, by rank, in seconds since the epoch."""
        found = {rank: self._read(f"{change.number}.ready-{rank}") for rank in change.new_ranks}
        return {rank: float(moment) for rank, moment in found.items() if moment is not None}

    # What the script calls.

    def announce(self) -> None:
        """Says that the processes can change from now on."""
        self._write(_ABLE, None)

    def decline(self, why: str) -> None:
        """Says why the processes cannot change, or cannot any more."""
        for name in (_ABLE, _OVER):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.folder}/{name}")
        self._write(_UNABLE, why)

    def end(self) -> None:
        """Says that the training has ended."""
        self._write(_OVER, None)

    def pending(self) -> RankChange | None:
        """The change that is ordered."""
        try:
            os.stat(self._order)  # called in each step, and there is rarely one
        except OSError:
            return None
        found = self._read(_ORDER)
        return None if found is None else RankChange(**found)

    def is_ready(self, change: RankChange, rank: int) -> bool:
        """Whether a new process waits to be let in."""
        return os.path.exists(f"{self.folder}/{change.number}.ready-{rank}")

    def take(self, change: RankChange) -> bool:
        """Begins a change; False if it was withdrawn."""
        return self._rename(change, "taken")

    def answer(self, outcome: ChangeOutcome) -> None:
        """Writes the result of the change that was taken."""
        self._write(f"{outcome.number}.outcome", asdict(outcome))

    def offer(self, change: RankChange, port: int) -> None:
        """Names the port of the loopback interface at which new processes are let in."""
        self._write(f"{change.number}.offer", port)

    def has_given_up(self, change: RankChange) -> bool:
        """Whether a joining process has died."""
        return os.path.exists(f"{self.folder}/{change.number}.dead")

    # What a new process calls.

    def tell_ready(self, number: int, rank: int, moment: float) -> None:
        """Says that a process waits to be let in."""
        self._write(f"{number}.ready-{rank}", moment)

    def find_offer(self, number: int) -> int | None:
        """The port at which it is let in; None: not yet."""
        found = self._read(f"{number}.offer")
        return None if found is None else int(found)

    def _rename(self, change: RankChange, to: str) -> bool:
        try:
            os.rename(self._order, f"{self.folder}/{change.number}.{to}")
        except FileNotFoundError:
            return False
        return True

    def _write(self, name: str, value: Any) -> None:
        aside = f"{self.folder}/.{name}.{os.getpid()}"
        with open(aside, "w", encoding="utf-8") as file:
            json.dump(value, file)
        os.rename(aside, f"{self.folder}/{name}")

    def _read(self, name: str) -> Any:
        try:
            with open(f"{self.folder}/{name}", encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return None
