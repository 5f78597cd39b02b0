"""What every way of writing a checkpoint has in common, and what a script finds. Used by ``checkpoint_writers.py``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from benchmarking.faults.checkpoint_seals import Identity, sealed


@dataclass(frozen=True)
class Found:
    """What a script finds in its folder."""

    state: str
    """``"none"``, ``"whole"``, ``"torn"``, or ``"foreign"``: another trial's."""
    epoch: int | None = None
    launch: int | None = None
    """The launch that saved it."""
    why: str = ""
    print: str = ""
    """Fingerprint of the files, where it is torn."""


class Writer:
    """Saves and loads; see the module.

    Parameters
    ----------
    num_pauses, pause_s
        How often writing a file is interrupted, and for how many seconds each time.
    """

    #: Whether the checkpoint in the folder is whole at every moment.
    is_atomic: ClassVar[bool] = False
    #: Whether the script starts anew, without a word, where it cannot load.
    is_lenient: ClassVar[bool] = False
    #: Whether old checkpoints stay.
    keeps_all: ClassVar[bool] = False

    def __init__(self, num_pauses: int = 0, pause_s: float = 0.0) -> None:
        self._num_pauses, self._pause_s = num_pauses, pause_s

    def save(self, folder: Path, identity: Identity) -> None:
        raise NotImplementedError

    def load(self, folder: Path) -> Identity | None:
        """None: there is no checkpoint. Raises whatever a script would end with."""
        raise NotImplementedError

    def _write(
        self, path: Path, identity: Identity, mode: str = "wb", before_close: Callable[[], object] = lambda: None
    ) -> None:
        pieces = list(_cut(sealed(identity), self._num_pauses + 1, identity.size))
        with open(path, mode, buffering=0) as file:
            for number, piece in enumerate(pieces):
                if number:
                    time.sleep(self._pause_s)
                for part in piece:
                    view = memoryview(part)
                    while view:
                        view = view[file.write(view) :]
            before_close()


def _cut(pieces: Iterator[bytes], num_parts: int, size: int) -> Iterator[list[bytes]]:
    """Splits pieces into some parts of about the same size, without joining them."""
    part: list[bytes] = []
    most = max(1, size // num_parts)
    length, left = 0, num_parts - 1
    for piece in pieces:
        while left and length + len(piece) >= most:
            part.append(piece[: most - length])
            piece = piece[most - length :]
            yield part
            part, length, left = [], 0, left - 1
        part.append(piece)
        length += len(piece)
    yield part
