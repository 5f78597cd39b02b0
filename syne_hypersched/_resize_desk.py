"""The files by which a backend and a training script agree on a new number of processes while the script trains.

A backend *orders* a change. The first process of the script *takes* it between two steps, when all new processes are
ready, and *answers* with the result. Until the change is taken, the backend may *withdraw* it. Taking and withdrawing
rename the same file, so exactly one of them succeeds. ``docs/joining.md`` describes the protocol.
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
"""Environment variable with the folder of these files. Without it, processes never change during training."""

JOINS = "SYNE_HYPERSCHED_JOINS"
"""Environment variable of a new process: the number of the change for which the process was started."""

_ORDER = "order"
_ABLE = "able"
_UNABLE = "unable"
_OVER = "over"


@dataclass(frozen=True)
class RankChange:
    """A change of the number of processes of a launch while it trains."""

    number: int
    """Number of the change, counted from 0 in each launch."""
    before: int
    """Number of processes when the change is ordered."""
    after: int
    """Number of processes after the change."""
    gone: tuple[int, ...] = ()
    """The ranks that leave; by default the last ones, if the number decreases. Rank 0 leads the change, and stays."""

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
        """The ranks that stay. Their positions in this list are their ranks after the change."""
        return tuple(rank for rank in range(self.before) if rank not in self.gone)


@dataclass(frozen=True)
class ChangeOutcome:
    """The result of a change."""

    number: int
    """Number of the change."""
    is_done: bool
    """Whether the script continues training with the new number of processes."""
    why: str = ""
    """Why the change was not made."""
    time: float = 0.0
    """When training continued, in seconds since the epoch."""
    pause_s: float = 0.0
    """Seconds between two steps during which no process trained."""
    transfer_s: float = 0.0
    """The part of these seconds in which the state was sent to the new processes."""


class ResizeDesk:
    """The files of one launch. Each method is one or a few file operations, and none of them waits.

    Parameters
    ----------
    folder
        A folder for one launch.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = str(folder)
        self._order = f"{self.folder}/{_ORDER}"

    # Methods for the backend.

    def open(self) -> None:
        """Makes the folder, without content.

        Raises
        ------
        OSError
            The folder cannot be made.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder, mode=0o700)

    @property
    def is_able(self) -> bool:
        """Whether the script has announced that its processes can change while it trains."""
        return os.path.exists(self.able_path)

    @property
    def able_path(self) -> str:
        """The file by which the script announces this."""
        return f"{self.folder}/{_ABLE}"

    @property
    def why_unable(self) -> str:
        """Why the processes cannot change, as the script says; empty if it has not said so."""
        return str(self._read(_UNABLE) or "")

    @property
    def is_over(self) -> bool:
        """Whether the training has ended, so that no step for a change follows."""
        return os.path.exists(f"{self.folder}/{_OVER}")

    def order(self, change: RankChange) -> None:
        """Orders a change. Every earlier change must be withdrawn or answered."""
        self._write(_ORDER, asdict(change))

    def withdraw(self, change: RankChange) -> bool:
        """Withdraws a change. Returns False if the script has already taken it."""
        return self._rename(change, "withdrawn")

    def give_up(self, change: RankChange) -> None:
        """Announces that a new process has died, so that the other processes stop waiting."""
        self._write(f"{change.number}.dead", None)

    def outcome(self, change: RankChange) -> ChangeOutcome | None:
        """The result of a change; None: it is not known yet."""
        found = self._read(f"{change.number}.outcome")
        return None if found is None else ChangeOutcome(**found)

    def ready_times(self, change: RankChange) -> dict[int, float]:
        """When each new process became ready, by rank, in seconds since the epoch."""
        found = {rank: self._read(f"{change.number}.ready-{rank}") for rank in change.new_ranks}
        return {rank: float(moment) for rank, moment in found.items() if moment is not None}

    # Methods for the script.

    def announce(self) -> None:
        """Announces that the processes can change from now on."""
        self._write(_ABLE, None)

    def decline(self, why: str) -> None:
        """Announces why the processes cannot change, or no longer can."""
        for name in (_ABLE, _OVER):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.folder}/{name}")
        self._write(_UNABLE, why)

    def end(self) -> None:
        """Announces that the training has ended."""
        self._write(_OVER, None)

    def pending(self) -> RankChange | None:
        """The change that is ordered; None if there is none."""
        try:
            os.stat(self._order)  # this is called in each step, and there is rarely an order
        except OSError:
            return None
        found = self._read(_ORDER)
        return None if found is None else RankChange(**found)

    def is_ready(self, change: RankChange, rank: int) -> bool:
        """Whether a new process waits to join."""
        return os.path.exists(f"{self.folder}/{change.number}.ready-{rank}")

    def take(self, change: RankChange) -> bool:
        """Takes a change. Returns False if it was withdrawn."""
        return self._rename(change, "taken")

    def answer(self, outcome: ChangeOutcome) -> None:
        """Writes the result of the change that was taken."""
        self._write(f"{outcome.number}.outcome", asdict(outcome))

    def offer(self, change: RankChange, port: int) -> None:
        """Announces the port of the loopback interface on which new processes can join."""
        self._write(f"{change.number}.offer", port)

    def has_given_up(self, change: RankChange) -> bool:
        """Whether a joining process has died."""
        return os.path.exists(f"{self.folder}/{change.number}.dead")

    # Methods for a new process.

    def tell_ready(self, number: int, rank: int, moment: float) -> None:
        """Announces that a process waits to join."""
        self._write(f"{number}.ready-{rank}", moment)

    def find_offer(self, number: int) -> int | None:
        """The port on which the process can join; None: not known yet."""
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
