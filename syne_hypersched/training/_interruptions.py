"""What a process wants between two steps: to go on, to have the run checkpointed, or to leave."""

from __future__ import annotations

import signal
import threading
import time
from enum import IntEnum
from typing import Any


class Wish(IntEnum):
    """What a process wants; the strongest wish of any of them is carried out by all."""

    GO_ON = 0
    SAVE = 1
    LEAVE = 2


class Interruptions:
    """Listens to SIGTERM, and knows when a checkpoint is due.

    Parameters
    ----------
    checkpoint_every_s
        Seconds from one checkpoint to the next; None: none is due by time.

    Raises
    ------
    ValueError
        ``checkpoint_every_s`` is not above 0.
    """

    def __init__(self, checkpoint_every_s: float | None) -> None:
        if checkpoint_every_s is not None and not checkpoint_every_s > 0:
            raise ValueError(f"checkpoint_every_s must be above 0, but got {checkpoint_every_s!r}")
        self._checkpoint_every_s = checkpoint_every_s
        self._saved_at = time.monotonic()
        self._must_leave = False
        self._handler_before: Any = None

    @property
    def wish(self) -> Wish:
        """What this process wants now."""
        if self._must_leave:
            return Wish.LEAVE
        every_s = self._checkpoint_every_s
        return Wish.SAVE if every_s is not None and time.monotonic() - self._saved_at >= every_s else Wish.GO_ON

    def note_checkpoint(self) -> None:
        """The run has been checkpointed just now."""
        self._saved_at = time.monotonic()

    def listen(self) -> None:
        """From now on SIGTERM makes the process wish to leave; only a main thread can have that."""
        if threading.current_thread() is threading.main_thread():
            self._handler_before = signal.signal(signal.SIGTERM, self._on_sigterm)

    def close(self) -> None:
        """SIGTERM does again what it did before."""
        if self._handler_before is not None:
            signal.signal(signal.SIGTERM, self._handler_before)

    def _on_sigterm(self, signum: int, frame: object) -> None:
        self._must_leave = True
