"""A last stretch of the adaptive strategy that has begun."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class LastStretch:
    """The beginning and the plan of a last stretch."""

    began_s: float
    size: int
    plan: tuple[int, ...]
    """Survivors by stage, see :func:`~syne_hypersched.allocation.stretch.stages`."""
    paused: list[tuple[float, int]]
    """Best value and id of the paused trials that may be resumed, ascending."""

    def __post_init__(self) -> None:
        self.resumable = frozenset(trial_id for _, trial_id in self.paused)
