"""What HyperSched has decided, for plots, tests and people."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

_KEPT = 10_000


class Decision(NamedTuple):
    """One thing that HyperSched has decided."""

    time_s: float
    """Seconds since the start."""
    what: str
    """``"start"``, ``"resume"``, ``"pause"``, ``"stop"``, ``"resize"`` or ``"close"`` (admission)."""
    trial_id: int | None
    """The trial; None for ``"close"``."""
    num_devices: int
    """Devices that the trial is to hold from now on."""
    reason: str = ""
    """Why, in words, where there is more to say than what was decided."""


class DecisionLog:
    """The last 10,000 decisions."""

    def __init__(self) -> None:
        self._decisions: deque[Decision] = deque(maxlen=_KEPT)

    def add(self, time_s: float, what: str, trial_id: int | None, num_devices: int, reason: str = "") -> None:
        """Adds a decision, see :class:`Decision`."""
        self._decisions.append(Decision(time_s, what, trial_id, num_devices, reason))

    def as_list(self) -> list[Decision]:
        """The decisions, oldest first."""
        return list(self._decisions)

    def restart(self) -> None:
        """Puts all decisions so far at time 0."""
        self._decisions = deque((decision._replace(time_s=0.0) for decision in self._decisions), maxlen=_KEPT)
