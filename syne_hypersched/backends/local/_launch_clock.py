"""Moments in the life of a trial's launches."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass
class LaunchClock:
    """Times of one trial, in seconds of the monotonic clock unless stated otherwise."""

    signal_time: float = 0.0
    """When the signal or order was given that the next launch answers."""

    signal_timestamp: float = 0.0
    """The same in seconds since the epoch."""

    answers_to: float = 0.0
    """When the signal or order was given that the present launch answers."""

    launch_at: float = 0.0
    """The trial is not to be launched before this moment."""

    heard_at: float = 0.0
    """When the present launch began or last reported; infinite until its processes exist."""

    def expect_launch(self, backoff_s: float = 0.0) -> None:
        """The next launch answers to this moment, or to the one when ``backoff_s`` seconds have gone by."""
        self.signal_timestamp, self.signal_time = time.time() + backoff_s, time.monotonic() + backoff_s
        self.launch_at = self.signal_time

    def begin_launch(self) -> None:
        """A launch was ordered."""
        self.answers_to = self.signal_time
        self.heard_at = math.inf  # the server may have to import its preloaded modules first

    def hear(self) -> None:
        """The launch has begun or reported."""
        self.heard_at = time.monotonic()

    def silent_s(self) -> float:
        """Seconds since the launch began or last reported."""
        return time.monotonic() - self.heard_at
