"""``train()`` of an elastic ``transformers.Trainer``: it continues from its own checkpoint, and runs only once."""

from __future__ import annotations

import os
from typing import Any


def train_once(trainer: Any, callback: Any) -> None:
    """Makes ``train()`` continue from the checkpoint of the callback, and do nothing if the run is finished.

    The checkpoint of the callback has priority over one that the script names. The script's checkpoint may come from
    ``get_last_checkpoint(output_dir)``, or contain the initial weights of the first launch.

    Parameters
    ----------
    trainer
        The ``transformers.Trainer``.
    callback
        The elastic callback, with ``checkpoint``, and with ``is_finished`` when training has begun.
    """
    train, run_epoch = trainer.train, getattr(trainer, "_run_epoch", None)
    num_calls = 0

    def elastic_train(resume_from_checkpoint: Any = None, *rest: Any, **options: Any) -> Any:
        nonlocal num_calls
        num_calls += 1
        if num_calls > 1:
            raise ValueError(
                "train must be called once, since a second run would report the same epochs again, but was called "
                "twice; for a second phase of the training, make another trainer with an output_dir of its own"
            )
        if callback.checkpoint is not None or isinstance(resume_from_checkpoint, bool):
            resume_from_checkpoint = callback.checkpoint
        return train(resume_from_checkpoint, *rest, **options)

    def elastic_run_epoch(*arguments: Any, **options: Any) -> Any:
        if callback.is_finished:  # the trainer would take one more step
            trainer.control.should_training_stop = True
            return None
        return None if run_epoch is None else run_epoch(*arguments, **options)

    trainer.train = elastic_train
    if run_epoch is not None:
        trainer._run_epoch = elastic_run_epoch


def move_to_end(handler: Any, callback: Any) -> None:
    """Moves a callback behind all others, which may ask for a save. The trainer appends callbacks that it restores."""
    handler.callbacks = [*(each for each in handler.callbacks if each is not callback), callback]


def move_logs(trainer: Any) -> None:
    """Makes TensorBoard write beside the checkpoints. A file that stays open in their folder would look like a save."""
    for callback in trainer.callback_handler.callbacks:
        if type(callback).__name__ == "TensorBoardCallback" and callback.logging_dir is None:
            callback.logging_dir = os.path.join(os.path.dirname(os.path.abspath(trainer.args.output_dir)), "runs")
