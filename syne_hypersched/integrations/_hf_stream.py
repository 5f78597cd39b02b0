"""Finds the place in training data without a length, since ``transformers.Trainer`` cannot find it after a relaunch.

The trainer counts all earlier steps as steps of the first epoch. It skips their batches, and ends the training without
an error if the data have fewer batches. So a checkpoint stores the step at which its epoch began.
"""

from __future__ import annotations

import sys
from typing import Any

_BEGAN = "epoch_began"
"""Name in the notes of a checkpoint: the epoch, counted from 0, and the step at which it began."""


def is_endless(num_train_epochs: float) -> bool:
    """Whether the data have no length. The trainer then allows any number of epochs."""
    return num_train_epochs == sys.maxsize


class Place:
    """The position of a run in its data.

    Parameters
    ----------
    notes
        The notes of the last launch; empty in the first launch.
    """

    def __init__(self, notes: dict[str, Any]) -> None:
        self.epoch, self.first_step = notes.get(_BEGAN, (0, 0))
        self._is_noted = _BEGAN in notes
        self._is_at_end = False

    def begin_epoch(self, step: int) -> None:
        """Notes that an epoch begins, or that the first epoch of a launch continues."""
        if self._is_noted:
            self._is_noted = False
        elif step > self.first_step:
            self.epoch, self.first_step = self.epoch + 1, step
        self._is_at_end = False

    def end_epoch(self) -> None:
        """Notes that all samples of an epoch were read."""
        self._is_at_end = True

    def notes(self, step: int) -> dict[str, Any]:
        """Notes for the next launch, if it continues at a step."""
        return {_BEGAN: [self.epoch + 1, step] if self._is_at_end else [self.epoch, self.first_step]}


def go_on(trainer: Any, place: Place) -> bool:
    """Makes a trainer skip only the batches of its present epoch. Returns whether the trainer supports this."""
    begin = getattr(trainer, "_init_training_state", None)
    if begin is None:
        return False

    def begin_in_place(max_steps: int, num_steps: int, num_train_epochs: float, *rest: Any) -> tuple[int, int]:
        found: tuple[int, int] = begin(max_steps, num_steps, num_train_epochs, *rest)
        if not is_endless(num_train_epochs):
            return found
        step = int(trainer.state.global_step)
        if step >= max_steps:
            return sys.maxsize, 0  # otherwise the trainer would take one more step
        return place.epoch, (step - place.first_step) * trainer.args.gradient_accumulation_steps

    trainer._init_training_state = begin_in_place
    return True
