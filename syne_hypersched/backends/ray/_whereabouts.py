"""Tracks the newest checkpoints of each trial without a shared folder, and the next copies: pure bookkeeping.

A trial's checkpoints are made on the node of its rank 0. Each complete checkpoint is copied to the tuner's disk, so
that no checkpoint is lost with a node. A launch begins from the newest one, wherever it is; if its node is lost before
it was copied, from the newest one on the tuner's disk.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

#: The tuner's disk, in place of a node's name.
TUNER = ""


@dataclass
class _Trial:
    node: str = TUNER
    """Where its newest checkpoints are."""
    trains: bool = False
    """Whether a launch of the trial runs there."""
    is_due: bool = False
    """Whether something there is not on the tuner's disk."""
    taken: int = 0
    """Number of the newest generation that the node has told of."""
    safe: int = 0
    """Number of the newest one on the tuner's disk."""
    lost_on: str | None = None
    """The node with which a checkpoint may have been lost since the last launch began."""
    was_at_rest: bool = False
    """Whether it was at rest then."""


class Whereabouts:
    """See the module. Trials and nodes are texts."""

    def __init__(self) -> None:
        self._trials: dict[str, _Trial] = {}

    def _of(self, trial: str) -> _Trial:
        return self._trials.setdefault(trial, _Trial())

    def is_known(self, trial: str) -> bool:
        """Whether it was ever launched."""
        return trial in self._trials

    def node(self, trial: str) -> str:
        """Where its newest checkpoints are."""
        return self._trials.get(trial, _Trial()).node

    def trains(self, trial: str) -> bool:
        """Whether a launch of the trial runs."""
        return self._trials.get(trial, _Trial()).trains

    def is_settled(self, trial: str) -> bool:
        """Whether all of its checkpoints are on the tuner's disk."""
        return not self._trials.get(trial, _Trial()).is_due

    def begin(self, trial: str, node: str) -> str:
        """Records that a launch begins on a node, which then has the newest checkpoints.

        Returns
        -------
        str
            What was lost since the last launch began; empty if nothing is known to be lost.
        """
        found = self._of(trial)
        lost_on, found.lost_on = found.lost_on, None
        if found.node == TUNER:
            is_lost, found.taken = found.taken > found.safe, found.safe
        else:
            is_lost = False
        found.node, found.trains = node, True
        if lost_on is None:
            return ""
        if is_lost:
            return f"node {lost_on} was lost before its newest checkpoint was copied to the tuner's disk"
        return f"node {lost_on} was lost before its last checkpoint was copied" if found.was_at_rest else ""

    def take(self, trial: str, number: int) -> None:
        """The node of a trial has a new generation."""
        found = self._of(trial)
        found.taken = max(found.taken, number)
        found.is_due = found.node != TUNER and found.taken > found.safe

    def ask(self, trial: str) -> None:
        """Marks all checkpoints on the trial's node as due, reported or not."""
        found = self._of(trial)
        found.is_due = found.node != TUNER

    def is_safe(self, trial: str) -> bool:
        """Whether one of its generations is on the tuner's disk."""
        return self._of(trial).safe > 0

    def end(self, trial: str, is_lost: bool) -> None:
        """A launch has ended: on its node, or ``is_lost`` with it."""
        found = self._of(trial)
        if found.trains:
            found.trains = False
            found.is_due = found.node != TUNER
            if is_lost:
                self._lose(found, was_at_rest=False)

    def lose(self, node: str) -> None:
        """A node is gone, with the checkpoints of trials at rest. The launches there end later."""
        for found in self._trials.values():
            if found.node == node and not found.trains:
                self._lose(found, was_at_rest=True)

    def _lose(self, found: _Trial, was_at_rest: bool) -> None:
        if found.is_due or not was_at_rest:
            found.lost_on, found.was_at_rest = found.node, was_at_rest
        found.node, found.is_due = TUNER, False

    def copied(self, trial: str, node: str, newest: int | None, with_live: bool) -> None:
        """Records that a node's checkpoints are on the tuner's disk: all ``with_live``, else the generations."""
        found = self._of(trial)
        found.safe = max(found.safe, newest or 0)
        if found.node == node:
            found.is_due = found.taken > found.safe if found.trains else not with_live

    def due(self, under_way: Collection[str]) -> list[tuple[str, str, bool]]:
        """Due copies to the tuner's disk: trial, node, and whether to copy the folder itself as well.

        Trials at rest come first: running trials soon have newer checkpoints.

        Parameters
        ----------
        under_way
            Trials with a copy to there in progress.
        """
        found = [(trial, known) for trial, known in self._trials.items() if known.is_due and trial not in under_way]
        return [(trial, k.node, not k.trains) for trial, k in sorted(found, key=lambda item: item[1].trains)]

    def give_up(self, trial: str) -> None:
        """What is not copied yet never will be."""
        self._of(trial).is_due = False

    def spare(self, node: str) -> list[str]:
        """Trials at rest whose checkpoints on a node are also on the tuner's disk, from which they are read now."""
        found = [trial for trial, k in self._trials.items() if k.node == node and not (k.trains or k.is_due)]
        for trial in found:
            self._trials[trial].node = TUNER
        return found
