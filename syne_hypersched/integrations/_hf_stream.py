"""Training data without a length, in which ``transformers.Trainer`` does not find its place again.

The trainer takes all steps so far as steps of the first epoch. It skips their batches, and ends the training without an
error if the data have fewer. So a checkpoint notes the step at which its epoch has begun.
"""

from __future__ import annotations

import sys
from typing import Any

_BEGAN = "epoch_began"
"""In the notes of a checkpoint: the epoch, counted from 0, and the step at which it began."""


def is_endless(num_train_epochs: float) -> bool:
    """Whether the data have no length: the trainer then allows any number of epochs."""
    return num_train_epochs == sys.maxsize


class Place:
    """Where a run is in its data.

    Parameters
    ----------
    notes
        What the last launch has noted; empty: this is the first one.
    """

    def __init__(self, notes: dict[str, Any]) -> None:
        self.epoch, self.first_step = notes.get(_BEGAN, (0, 0))
        self._is_noted = _BEGAN in notes
        self._is_at_end = False

    def begin_epoch(self, step: int) -> None:
        """An epoch begins, or goes on in the first epoch of a launch."""
        if self._is_noted:
            self._is_noted = False
        elif step > self.first_step:
            self.epoch, self.first_step = self.epoch + 1, step
        self._is_at_end = False

    def end_epoch(self) -> None:
        """All samples of an epoch were read."""
        self._is_at_end = True

    def notes(self, step: int) -> dict[str, Any]:
        """For the next launch, if it goes on at a step."""
        return {_BEGAN: [self.epoch + 1, step] if self._is_at_end else [self.epoch, self.first_step]}


def go_on(trainer: Any, place: Place) -> bool:
    """Has a trainer that goes on skip only the batches of its present epoch. Returns whether it can be told."""
    begin = getattr(trainer, "_init_training_state", None)
    if begin is None:
        return False

    def begin_in_place(max_steps: int, num_steps: int, num_train_epochs: float, *rest: Any) -> tuple[int, int]:
        found: tuple[int, int] = begin(max_steps, num_steps, num_train_epochs, *rest)
        if not is_endless(num_train_epochs):
            return found
        step = int(trainer.state.global_step)
        if step >= max_steps:
            return sys.maxsize, 0  # otherwise the trainer would take one step more
        return place.epoch, (step - place.first_step) * trainer.args.gradient_accumulation_steps

    trainer._init_training_state = begin_in_place
    return True
