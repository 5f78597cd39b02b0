"""Measures how long steps take, also on a device that computes while the process goes on."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import torch


class _Instant(Protocol):
    """A moment that may not have come yet, as an event of a GPU."""

    def query(self) -> bool:
        """Whether it has come."""

    def synchronize(self) -> None:
        """Waits until it has."""

    def elapsed_time(self, end_event: Any) -> float:
        """Milliseconds from this moment to a later one, when both have come."""


class _HostInstant:
    """Now."""

    def __init__(self) -> None:
        self._time_s = time.perf_counter()

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, end_event: _HostInstant) -> float:
        return 1e3 * (end_event._time_s - self._time_s)


def _device_moment() -> _Instant:
    """When the device has finished all work that was queued so far."""
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event


class StepClock:
    """Measures steps without waiting for them.

    On a GPU, events mark when the device has begun and finished a step. They are read later, while the process already
    prepares the next step.

    Parameters
    ----------
    device
        The device that computes the steps.
    now
        Returns the present moment; by default that of the device.
    """

    def __init__(self, device: torch.device, now: Callable[[], _Instant] | None = None) -> None:
        self._now = now or (_device_moment if device.type == "cuda" else _HostInstant)
        #: When the present step began, and when its optimisers stepped.
        self._begun: _Instant | None = None
        self._stepped: _Instant | None = None
        #: Beginnings and ends of steps that may still be computed.
        self._measured: deque[tuple[_Instant, _Instant]] = deque()

    def begin(self) -> None:
        """A step begins."""
        self._begun, self._stepped = self._now(), None

    def mark_step(self) -> None:
        """The optimisers have stepped: a step that the script leaves from here on has ended now."""
        if self._begun is not None:
            self._stepped = self._now()

    def end(self, counts: bool = True) -> None:
        """The step has ended. It is dropped if it does not count, because it is not like the others."""
        if self._begun is not None and counts:
            self._measured.append((self._begun, self._now()))
        self._begun = self._stepped = None

    def leave(self, counts: bool = True) -> None:
        """The script has left the loop before the step's end, perhaps some time ago."""
        if self._begun is not None and self._stepped is not None and counts:
            self._measured.append((self._begun, self._stepped))
        self._begun = self._stepped = None

    def take(self, wait: bool) -> list[float]:
        """Seconds of the steps since the last call; with ``wait`` all of them, else the finished ones."""
        times_s = []
        while self._measured and (wait or self._measured[0][1].query()):
            begun, ended = self._measured.popleft()
            ended.synchronize()
            times_s.append(1e-3 * begun.elapsed_time(ended))
        return [time_s for time_s in times_s if time_s > 0]
