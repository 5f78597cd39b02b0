"""The checkpoints of trials at one place, a node or the tuner's disk: read from there, and written there."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from syne_hypersched.backends.ray._messages import Message
from syne_hypersched.backends.ray._rank_log import left_behind
from syne_hypersched.checkpoints import GenerationStore
from syne_hypersched.checkpoints.moving import Arrival, Departure, identity
from syne_hypersched.checkpoints.removal import remove_checkpoints

#: Index of the log of rank 0 in a piece: it is sent with the checkpoints, which may know of what it says.
LOG = -1
_OUT, _IN = ".outgoing-", ".incoming-"


class Depot:
    """See the module. Any thread may ask, read and write.

    Parameters
    ----------
    checkpoints_of
        The checkpoint folder of the trial that a message concerns.
    """

    def __init__(self, checkpoints_of: Callable[[Message], Path]) -> None:
        self._checkpoints_of = checkpoints_of
        self._lock = threading.Lock()
        self._departures: dict[int, tuple[Departure, Path | None]] = {}
        self._arrivals: dict[int, tuple[Arrival, Path | None]] = {}
        #: Names of the folders of all copies that have begun and not ended, whether they are there already or not.
        self._asides: dict[int, str] = {}

    def answer(self, question: Message) -> Message:
        """Answers a question, or executes a command.

        ``has``: which generations are here. ``offer``: prepares to read them. ``begin``, ``commit``: prepares to write
        them, and puts them in place. ``end``: ends reading and writing. ``forget``: removes them.

        Raises
        ------
        OSError, ValueError
            The command fails.
        """
        what, copy = question["what"], question["copy"]
        if what == "has":
            store = GenerationStore(self._checkpoints_of(question))
            return {"known": [identity(found) for found in store.generations() if store.is_sound(found)]}
        if what == "offer":
            return self._offer(question)
        if what == "begin":
            return self._begin(question)
        if what == "commit":
            arrival, _ = self._arrivals[copy]
            return {"newest": arrival.commit()}
        if what == "forget":
            checkpoints = self._checkpoints_of(question)
            remove_checkpoints(checkpoints)
            for log in left_behind(checkpoints.parent):
                log.unlink(missing_ok=True)
        self._end(copy)
        return {}

    def _offer(self, question: Message) -> Message:
        checkpoints, copy = self._checkpoints_of(question), question["copy"]
        aside = self._aside(checkpoints, f"{_OUT}{copy}", copy)
        departure = Departure(checkpoints, aside, question["known"], question["with_live"])
        log = None if question["log"] is None else checkpoints.parent / question["log"]
        with self._lock:
            self._departures[copy] = (departure, log)
        # After the checkpoints: the log has the reports of all their epochs. If it is missing, they may belong to a
        # launch with another log.
        size = 0 if log is None else log.stat().st_size
        return {"bill": departure.bill, "log": size}

    def _begin(self, question: Message) -> Message:
        checkpoints, copy = self._checkpoints_of(question), question["copy"]
        log = None if question["log"] is None else checkpoints.parent / question["log"]
        arrival = Arrival(checkpoints, self._aside(checkpoints, f"{_IN}{copy}", copy), question["bill"])
        with self._lock:
            self._arrivals[copy] = (arrival, log)
        size = 0
        if log is not None:
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            size = os.fstat(descriptor).st_size
            os.close(descriptor)
        return {"needed": sorted(arrival.needed.items()), "log": size}

    def _aside(self, checkpoints: Path, name: str, copy: int) -> Path:
        """A folder beside the checkpoints; those that a process has left that is dead are removed."""
        folder = checkpoints.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock:
            self._asides[copy] = name
        for left in folder.iterdir():
            with self._lock:  # looked at after the folder is seen: another copy may have begun meanwhile
                is_left = left.name.startswith((_OUT, _IN)) and left.name not in self._asides.values()
            if is_left:
                shutil.rmtree(left, ignore_errors=True)
        return folder / name

    def read(self, copy: int, pieces: Sequence[Sequence[int]]) -> bytes:
        """Bytes of the offered files.

        Raises
        ------
        OSError
            The file was changed or removed since.
        """
        departure, log = self._departures[copy]
        parts = []
        for index, offset, length in pieces:
            if index == LOG and log is not None:
                with open(log, "rb") as file:
                    parts.append(os.pread(file.fileno(), length, offset))
            else:
                parts.append(departure.read([(index, offset, length)]))
        return b"".join(parts)

    def write(self, copy: int, pieces: Sequence[Sequence[int]], data: bytes) -> None:
        """Writes bytes to the files that were begun.

        Raises
        ------
        OSError
            There is no room, or the log is missing because it was read to its end.
        ValueError
            The bytes are not the expected ones.
        """
        arrival, log = self._arrivals[copy]
        position = 0
        for index, offset, length in pieces:
            part = data[position : position + length]
            position += length
            if index == LOG and log is not None:
                with open(log, "r+b") as file:
                    file.seek(offset)
                    file.write(part)
            else:
                arrival.write([(index, offset, length)], part)

    def _end(self, copy: int) -> None:
        with self._lock:
            self._asides.pop(copy, None)
            parts: list[Any] = [self._departures.pop(copy, None), self._arrivals.pop(copy, None)]
        for part in parts:
            if part is not None:
                part[0].close()
