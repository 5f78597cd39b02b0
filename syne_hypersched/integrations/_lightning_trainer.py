"""Adapts Lightning's trainer, its counts of batches, and its checkpoints to an elastic run."""

from __future__ import annotations

import hashlib
import math
import os
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

_COUNTS = ("limit_train_batches", "val_check_interval")


def check_trainer(trainer: Any, module: Any, num_accumulated: int) -> None:
    """Rejects settings that would change the global batch.

    Parameters
    ----------
    trainer, module
        The Lightning trainer and module.
    num_accumulated
        Number of micro-batches of a step on one device.

    Raises
    ------
    ValueError
        The trainer accumulates gradients by itself, or the module takes a step after each micro-batch.
    """
    if trainer.accumulate_grad_batches != 1:
        raise ValueError(
            "accumulate_grad_batches of the trainer must be left out, since it follows from max_local_batch_size and "
            f"global_batch_size, which counts the samples of a whole step, but got {trainer.accumulate_grad_batches}"
        )
    if any(_is_scheduler(callback) for callback in trainer.callbacks):
        raise ValueError(
            "callbacks of the trainer must not have a GradientAccumulationScheduler, since the global batch is the "
            "same in each epoch, but got one"
        )
    if num_accumulated > 1 and not module.automatic_optimization:
        raise ValueError(
            "max_local_batch_size must be left out with manual optimisation, since the module takes a step after each "
            f"batch, but it demands {num_accumulated} batches for a step"
        )


def count_steps(trainer: Any, num_accumulated: int) -> None:
    """Makes the trainer count steps where its user has counted batches, which several devices would make smaller."""
    for name in _COUNTS:
        value = getattr(trainer, name)
        if isinstance(value, int) and not isinstance(value, bool):
            setattr(trainer, name, value * num_accumulated)


def keep_whole_steps(trainer: Any, num_accumulated: int) -> None:
    """Makes shares of an epoch end with a whole step on any number of devices."""
    loop = trainer.fit_loop
    if num_accumulated == 1 or not math.isfinite(loop.max_batches):
        return
    if isinstance(trainer.limit_train_batches, float) and trainer.limit_train_batches < 1:
        loop.max_batches = _whole(loop.max_batches, num_accumulated)
    if isinstance(trainer.val_check_interval, float) and trainer.val_check_interval < 1:
        trainer.val_check_batch = _whole(trainer.val_check_batch, num_accumulated)


def move_paths(states: dict[str, Any], before: str, now: str) -> None:
    """Corrects paths in the states of callbacks, such as ``ModelCheckpoint``, if the folder was moved.

    Parameters
    ----------
    states
        The states. They are changed.
    before, now
        The folder of the checkpoints when they were saved, and now. Paths beside the folder are corrected, too, if the
        folder has kept its name.
    """
    before, now = os.path.realpath(before), os.path.realpath(now)
    if before == now:
        return
    moves = [(before, now)]
    if os.path.basename(before) == os.path.basename(now):
        moves.append((os.path.dirname(before), os.path.dirname(now)))
    for key, state in states.items():
        states[key] = _moved(state, moves)


def fingerprint(batch: Any) -> str | None:
    """A digest of a batch; None: it has no tensor."""
    found = hashlib.blake2b(digest_size=8)
    num_tensors = _add(found, batch)
    return found.hexdigest() if num_tensors else None


class Exchange:
    """Keeps up the exchange of gradients. Without it, gradients of layers that are released later would be left out.

    ``DistributedDataParallel`` checks only once, when it is made, which parameters are frozen.
    """

    def __init__(self) -> None:
        self._known: set[int] = set()

    def begin(self, module: torch.nn.Module) -> None:
        """Notes the trained parameters of a module that will be wrapped now."""
        self._known = {id(each) for each in module.parameters() if each.requires_grad}

    def keep_up(self, strategy: Any) -> None:
        """Wraps the module again if more parameters are trained now.

        Parameters
        ----------
        strategy
            The strategy of the Lightning trainer.
        """
        wrapped = strategy.model
        if not isinstance(wrapped, DistributedDataParallel):
            return
        if any(each.requires_grad and id(each) not in self._known for each in wrapped.parameters()):
            strategy.model = wrapped.module
            strategy.configure_ddp()


def _is_scheduler(callback: Any) -> bool:
    return any(each.__name__ == "GradientAccumulationScheduler" for each in type(callback).__mro__) and set(
        callback.scheduling.values()
    ) != {1}


def _whole(num_batches: float, num_accumulated: int) -> int:
    return max(1, int(num_batches) // num_accumulated) * num_accumulated


def _moved(value: Any, moves: list[tuple[str, str]]) -> Any:
    if isinstance(value, str):
        for before, now in moves:
            if value == before or value.startswith(before + os.sep):
                return now + value[len(before) :]
        return value
    if isinstance(value, dict):
        return {_moved(key, moves): _moved(each, moves) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_moved(each, moves) for each in value)
    return value


def _add(found: Any, value: Any) -> int:
    if isinstance(value, torch.Tensor):
        found.update(str(tuple(value.shape)).encode())
        found.update(value.detach().to("cpu", torch.float64).contiguous().numpy().tobytes())
        return 1
    if isinstance(value, dict):
        return sum(_add(found, each) for each in value.values())
    if isinstance(value, list | tuple):
        return sum(_add(found, each) for each in value)
    found.update(repr(value).encode() if isinstance(value, str | int | float) else b"")
    return 0
