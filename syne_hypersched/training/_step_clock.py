"""How long steps take, on a device that computes while the process goes on as on one that does not."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import torch


class _Moment(Protocol):
    """A moment that may not have come yet."""

    def query(self) -> bool:
        """Whether it has come."""

    def synchronize(self) -> None:
        """Waits until it has."""

    def elapsed_time(self, end_event: Any) -> float:
        """Milliseconds from this moment to a later one, when both have come."""


class _HostMoment:
    """Now."""

    def __init__(self) -> None:
        self._time_s = time.perf_counter()

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, end_event: _HostMoment) -> float:
        return 1e3 * (end_event._time_s - self._time_s)


def _device_moment() -> _Moment:
    """When the device has computed what it has been given so far."""
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event


class StepClock:
    """Measures steps without waiting for them.

    On a GPU a step has begun to be computed, and been computed, when the device says so, which is asked later: the
    process has gone on by then to prepare the next one.

    Parameters
    ----------
    device
        Where the steps are computed.
    note_moment
        Notes the present moment; by default what is right for the device.
    """

    def __init__(self, device: torch.device, note_moment: Callable[[], _Moment] | None = None) -> None:
        self._note = note_moment or (_device_moment if device.type == "cuda" else _HostMoment)
        #: When the step began, and when its optimisers had stepped, of the step that runs.
        self._begun: _Moment | None = None
        self._stepped: _Moment | None = None
        #: Beginnings and ends of steps that may still be computed.
        self._measured: deque[tuple[_Moment, _Moment]] = deque()

    def begin(self) -> None:
        """A step begins."""
        self._begun, self._stepped = self._note(), None

    def mark_step(self) -> None:
        """The optimisers have stepped: a step that the script leaves from here on has ended now."""
        if self._begun is not None:
            self._stepped = self._note()

    def end(self, counts: bool = True) -> None:
        """The step has ended; it is forgotten if it is not like the others."""
        if self._begun is not None and counts:
            self._measured.append((self._begun, self._note()))
        self._begun = self._stepped = None

    def leave(self, counts: bool = True) -> None:
        """The script has left the loop before the step's end, perhaps some time ago."""
        if self._begun is not None and self._stepped is not None and counts:
            self._measured.append((self._begun, self._stepped))
        self._begun = self._stepped = None

    def take(self, wait: bool) -> list[float]:
        """Seconds of the steps measured since the last call; with ``wait`` of all, else of those that are computed."""
        times_s = []
        while self._measured and (wait or self._measured[0][1].query()):
            begun, ended = self._measured.popleft()
            ended.synchronize()
            times_s.append(1e-3 * begun.elapsed_time(ended))
        return [time_s for time_s in times_s if time_s > 0]
