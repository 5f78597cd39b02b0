"""The decisions of HyperSched with their reasons, for plots, tests and people."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from syne_hypersched.schedulers._reasons import NO_REASON, Reason

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
    """Number of devices that the trial should hold from now on."""
    reason: str = NO_REASON.text
    """The reason in words, if it adds something to the decision."""
    numbers: Mapping[str, float] = NO_REASON.numbers
    """The numbers that decided, by name; see :class:`~syne_hypersched.schedulers._reasons.Reason`."""

    def __str__(self) -> str:
        whom = "admission" if self.trial_id is None else f"trial {self.trial_id}"
        return f"{self.what} {whom}: {self.reason}" if self.reason else f"{self.what} {whom}"

    def to_dict(self) -> dict[str, Any]:
        """All members by name, as values of JSON."""
        return {**self._asdict(), "numbers": dict(self.numbers)}


class DecisionLog:
    """The last 10,000 decisions, and the closing of admission however long ago it was."""

    def __init__(self) -> None:
        self._decisions: deque[Decision] = deque(maxlen=_KEPT)
        self._closing: Decision | None = None
        #: Decisions with a reason, to be passed on with the next report of a trial.
        self._untold: list[Decision] = []

    @property
    def closing(self) -> Decision | None:
        """The decision to close admission; None before it."""
        return self._closing

    def add(self, time_s: float, what: str, trial_id: int | None, num_devices: int, reason: Reason = NO_REASON) -> None:
        """Adds a decision, see :class:`Decision`."""
        decision = Decision(time_s, what, trial_id, num_devices, *reason)
        self._decisions.append(decision)
        if what == "close":
            self._closing = decision
        # A resumed trial is not the one that reports next.
        if reason.text and what != "resume":
            self._untold.append(decision)

    def as_list(self) -> list[Decision]:
        """The decisions, oldest first."""
        return list(self._decisions)

    def take_untold(self) -> list[Decision]:
        """The decisions with a reason since the last call, oldest first, without those to resume a trial."""
        untold, self._untold = self._untold, []
        return untold

    def reopen(self) -> None:
        """Records that admission is open again: its closing is one decision among others."""
        self._closing = None

    def restart(self) -> None:
        """Puts all decisions so far at time 0."""
        self._decisions = deque((decision._replace(time_s=0.0) for decision in self._decisions), maxlen=_KEPT)
        if self._closing is not None:
            self._closing = self._closing._replace(time_s=0.0)
        self._untold = [decision._replace(time_s=0.0) for decision in self._untold]

    def __getstate__(self) -> str:
        # dill, with which the tuner stores its scheduler, takes four times as long for many small tuples. Pickled
        # bytes in here would be loaded by pickle itself, whatever a careful reader of the whole allows.
        logs = (self._decisions, self._untold, [] if self._closing is None else [self._closing])
        return json.dumps([[(*decision[:-1], dict(decision.numbers)) for decision in log] for log in logs])

    def __setstate__(self, state: str) -> None:
        decisions, untold, closing = ([Decision(*row) for row in log] for log in json.loads(state))
        self._decisions = deque(decisions, maxlen=_KEPT)
        self._untold = untold
        self._closing = closing[0] if closing else None
