"""Explanations of the decisions of HyperSched, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from syne_hypersched._wording import seconds_text
from syne_hypersched.schedulers._reasons import Reason
from syne_hypersched.schedulers.decisions import Decision


@dataclass(frozen=True)
class Explanation:
    """What :meth:`~syne_hypersched.HyperSched.explain` gives: ``str`` makes a short text of it.

    Everything is as it was at the last report or suggestion.
    """

    strategy: str
    """Name of the strategy."""

    time_s: float
    """Seconds since the start."""

    deadline_s: float
    """The deadline, in seconds since the start."""

    admission_open: bool
    """Whether new trials may still start."""

    admission_closed_s: float | None
    """When admission was closed, in seconds since the start; None while it is open."""

    admission: Reason
    """Why admission was closed, or what the rule for closing it says while it is open."""

    allocation: Mapping[int, int]
    """Devices that each live trial holds, or has been asked to go on with."""

    decisions: tuple[Decision, ...]
    """The last decisions that have a reason, oldest first."""

    def __str__(self) -> str:
        state = "open" if self.admission_closed_s is None else f"closed at {seconds_text(self.admission_closed_s)} s"
        held = ", ".join(f"trial {trial_id}: {devices}" for trial_id, devices in sorted(self.allocation.items()))
        lines = [
            f"HyperSched ({self.strategy}) at {seconds_text(self.time_s)} s of {seconds_text(self.deadline_s)} s",
            f"admission {state}: {self.admission.text}",
            f"devices held: {held or 'none'}",
            *(f"{decision.time_s:10.4g} s  {decision}" for decision in self.decisions),
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """All of it as values of JSON.

        Returns
        -------
        dict
            ``strategy``, ``time_s``, ``deadline_s``; ``admission`` with ``open``, ``closed_s``, ``reason`` and
            ``numbers``; ``allocation``, a list with ``trial_id`` and ``num_devices`` of each live trial; ``decisions``,
            a list with ``time_s``, ``what``, ``trial_id``, ``num_devices``, ``reason`` and ``numbers`` of each.
        """
        return {
            "strategy": self.strategy,
            "time_s": self.time_s,
            "deadline_s": self.deadline_s,
            "admission": {
                "open": self.admission_open,
                "closed_s": self.admission_closed_s,
                "reason": self.admission.text,
                "numbers": dict(self.admission.numbers),
            },
            "allocation": [
                {"trial_id": trial_id, "num_devices": devices} for trial_id, devices in sorted(self.allocation.items())
            ],
            "decisions": [decision.to_dict() for decision in self.decisions],
        }


def last_explained(decisions: list[Decision], count: int, trial_id: int | None = None) -> tuple[Decision, ...]:
    """The last decisions that have a reason, oldest first.

    Parameters
    ----------
    decisions
        Decisions, oldest first.
    count
        How many at most.
    trial_id
        Only those about this trial; by default about all, and about admission.
    """
    found: list[Decision] = []
    for decision in reversed(decisions):
        if len(found) == count:
            break
        if decision.reason and trial_id in (None, decision.trial_id):
            found.append(decision)
    return tuple(reversed(found))
