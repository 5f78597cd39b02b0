"""An agent's messages to the tuner, numbered, and kept until their arrival is acknowledged."""

from __future__ import annotations

import threading
import time
from collections import deque

from syne_hypersched.backends.ray._messages import Message

#: Between two answers that bring nothing but logs there is at least this time (s): many lines travel together.
GAP_S = 0.01
#: Bytes of logs in one answer, and bytes that may wait for acknowledgement.
_BATCH_BYTES, _MOST_BYTES = 1 << 20, 1 << 22


class Unacknowledged:
    """See the module. Any thread may put; one thread takes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, float, int, Message]] = deque()
        self._number = 0
        self._num_bytes = 0
        self._is_urgent = False
        self._taken_at = 0.0

    def put(self, message: Message, num_bytes: int = 0) -> None:
        """Adds a message; one with ``num_bytes`` bytes of a log is not urgent."""
        with self._changed:
            self._number += 1
            self._waiting.append((self._number, time.monotonic(), num_bytes, message))
            self._num_bytes += num_bytes
            self._is_urgent = self._is_urgent or not num_bytes
            self._changed.notify_all()

    @property
    def is_full(self) -> bool:
        """Whether too much waits: logs then stay in their files for now."""
        return self._num_bytes >= _MOST_BYTES

    def take(self, acknowledged: int, wait_s: float) -> list[tuple[int, float, Message]]:
        """The messages after the last acknowledged one, with their numbers and moments (monotonic seconds).

        Returns when there are any, at the latest after ``wait_s`` seconds.
        """
        with self._changed:
            while self._waiting and self._waiting[0][0] <= acknowledged:
                self._num_bytes -= self._waiting.popleft()[2]
            give_up_at = time.monotonic() + wait_s
            while not self._waiting and (left_s := give_up_at - time.monotonic()) > 0:
                self._changed.wait(left_s)
            soonest = self._taken_at + GAP_S
            while self._waiting and not self._is_urgent and (left_s := soonest - time.monotonic()) > 0:
                self._changed.wait(left_s)
            taken, size = [], 0
            for number, moment, num_bytes, message in self._waiting:
                taken.append((number, moment, message))
                size += num_bytes
                if size >= _BATCH_BYTES:
                    break
            self._is_urgent = False
            self._taken_at = time.monotonic()
            return taken
