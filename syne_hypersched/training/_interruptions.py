"""What a process asks for between two steps: to go on, to checkpoint the run, to change its processes, or to leave."""

from __future__ import annotations

import math
import signal
import threading
import time
from enum import IntEnum
from typing import Any

from syne_hypersched.checks import positive_seconds


class Demand(IntEnum):
    """What a process asks for; all processes carry out the greatest demand of any of them."""

    GO_ON = 0
    SAVE = 1
    RESIZE = 2
    """Let processes in, or have some leave."""
    LEAVE = 3


class Interruptions:
    """Catches SIGTERM, and knows when a checkpoint is due.

    Parameters
    ----------
    checkpoint_every_s
        Seconds from one checkpoint to the next; None: time makes none due.

    Raises
    ------
    TypeError, ValueError
        ``checkpoint_every_s`` is not a number above 0.
    """

    def __init__(self, checkpoint_every_s: float | None) -> None:
        if checkpoint_every_s is not None and checkpoint_every_s != math.inf:
            checkpoint_every_s = positive_seconds("checkpoint_every_s", checkpoint_every_s)
        self._checkpoint_every_s = checkpoint_every_s
        self._saved_at = time.monotonic()
        self._must_leave = False
        self._handler_before: Any = None

    @property
    def demand(self) -> Demand:
        """What this process asks for now."""
        if self._must_leave:
            return Demand.LEAVE
        every_s = self._checkpoint_every_s
        return Demand.SAVE if every_s is not None and time.monotonic() - self._saved_at >= every_s else Demand.GO_ON

    def restart_interval(self) -> None:
        """Counts the seconds to the next checkpoint from now: the run has just been checkpointed."""
        self._saved_at = time.monotonic()

    def listen(self) -> None:
        """From now on SIGTERM makes the process demand to leave. Does nothing outside the main thread."""
        if threading.current_thread() is threading.main_thread():
            self._handler_before = signal.signal(signal.SIGTERM, self._on_sigterm)

    def close(self) -> None:
        """Restores the handler that SIGTERM had before."""
        if self._handler_before is not None:
            signal.signal(signal.SIGTERM, self._handler_before)

    def _on_sigterm(self, signum: int, frame: object) -> None:
        self._must_leave = True
