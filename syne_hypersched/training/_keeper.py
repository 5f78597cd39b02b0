"""Gathers the state of a run from its objects, writes it as one checkpoint, and restores it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from syne_hypersched.checkpoint_folder import CheckpointFolder
from syne_hypersched.training._group import ProcessGroup
from syne_hypersched.training._random import random_state, set_random_state

_STATE = "state.pt"


class Keeper:
    """Keeps the state of a run in a folder, or nowhere.

    All processes of a launch call the same methods at the same time. Rank 0 writes, except for the shards of a model.

    Parameters
    ----------
    folder
        The folder of the checkpoints; None: nothing is kept.
    group
        The processes of the launch.
    """

    def __init__(self, folder: CheckpointFolder | None, group: ProcessGroup) -> None:
        #: Objects with ``state_dict`` and ``load_state_dict``, by name.
        self.objects: dict[str, Any] = {}
        #: The sharded model, if there is one.
        self.sharded: nn.Module | None = None
        self._folder = folder
        self._group = group
        self._is_tried = False

    @property
    def is_active(self) -> bool:
        """Whether anything is kept."""
        return self._folder is not None

    def track(self, objects: Mapping[str, Any]) -> None:
        """Keeps objects in checkpoints from now on; see :meth:`ElasticRun.track`."""
        for name, thing in objects.items():
            if not (callable(getattr(thing, "state_dict", None)) and callable(getattr(thing, "load_state_dict", None))):
                raise TypeError(f"{name} must have state_dict and load_state_dict, but got {type(thing).__name__}")
            if name in self.objects:
                raise ValueError(f"{name!r} must be a name that is not taken, but something is tracked by it already")
            self.objects[name] = thing

    def gather(self) -> dict[str, Any]:
        """The present state. Its tensors are those of the run, which will change."""
        return {"objects": self.states(), "random": self._group.gather(random_state())}

    def states(self) -> dict[str, Any]:
        """The states of all objects but those that are sharded."""
        return {name: thing.state_dict() for name, thing in self.objects.items() if not self._is_sharded(thing)}

    def load_states(self, states: Mapping[str, Any], source: str) -> None:
        """Restores all objects but those that are sharded.

        Raises
        ------
        RuntimeError
            The states are those of other objects.
        """
        expected = sorted(name for name, thing in self.objects.items() if not self._is_sharded(thing))
        if sorted(states) != expected:
            raise RuntimeError(f"{source} holds {sorted(states)}, but this run has {expected}")
        for name, saved in states.items():
            self.objects[name].load_state_dict(saved)

    def snapshot(self) -> dict[str, Any] | None:
        """A copy of the present state in main memory, on rank 0, to be saved later if needed.

        Shards stay on their devices; a run that has some is checkpointed at once instead.
        """
        if not self.is_active:
            return None
        state = self.gather()
        if self.sharded is not None:
            self.save(state)
            return None
        return _copy_to_cpu(state) if self._group.rank == 0 else state

    def save(self, state: dict[str, Any], report: dict[str, Any] | None = None) -> str | None:
        """Writes a checkpoint and returns its path when it is durable.

        Raises
        ------
        TypeError
            A state has something else than tensors, numbers, strings and containers of them, and could not be loaded.
        """
        if self._folder is None:
            return None
        is_writer = self._group.rank == 0
        if is_writer and not self._is_tried:
            _try_to_load(state["objects"])
            self._is_tried = True
        aside = self._group.broadcast(self._folder.begin() if is_writer else None)
        if self.sharded is not None:
            from syne_hypersched.training._sharded import save_shards

            save_shards(aside, self.sharded, self._sharded_optimizers(), self._group)
        path = None
        if is_writer:
            with open(os.path.join(aside, _STATE), "xb") as file:
                torch.save({**state, "report": report}, file)
            path = self._folder.commit(aside)
        return path

    def restore(self, when_loaded: Callable[[str, dict[str, Any]], None]) -> bool:
        """Restores the objects from the newest whole checkpoint; returns False if there is none.

        Parameters
        ----------
        when_loaded
            Called, on rank 0, with the path and the report of a checkpoint whose report may not have been delivered.

        Raises
        ------
        CheckpointError
            There are checkpoints, but none of them is whole.
        RuntimeError
            The checkpoint belongs to a run that tracks other objects.
        """
        if self._folder is None:
            return False
        path = self._group.broadcast(self._folder.newest() if self._group.rank == 0 else None)
        if path is None:
            return False
        state = torch.load(os.path.join(path, _STATE), map_location="cpu", weights_only=True)
        self.load_states(state["objects"], path)
        if self.sharded is not None:
            from syne_hypersched.training._sharded import load_shards

            load_shards(path, self.sharded, self._sharded_optimizers(), self._group)
        if len(state["random"]) == self._group.num_ranks:
            set_random_state(state["random"][self._group.rank])
        self._is_tried = True
        if self._group.rank == 0 and state["report"] is not None and not self._folder.is_reported(path):
            when_loaded(path, state["report"])
        return True

    def mark_reported(self, path: str) -> None:
        """Records in the checkpoint at ``path`` that its report was delivered."""
        if self._folder is not None:
            self._folder.mark_reported(path)

    def _is_sharded(self, thing: Any) -> bool:
        return self.sharded is not None and isinstance(thing, Optimizer)

    def _sharded_optimizers(self) -> list[Optimizer]:
        return [thing for thing in self.objects.values() if isinstance(thing, Optimizer)]


def _try_to_load(states: dict[str, Any]) -> None:
    for name, state in states.items():
        buffer = io.BytesIO()
        torch.save(state, buffer)
        buffer.seek(0)
        try:
            torch.load(buffer, map_location="cpu", weights_only=True)
        except Exception as error:
            raise TypeError(
                f"the state_dict of {name} must consist of tensors, numbers, strings and containers of them, so that "
                f"it can be loaded without executing code, but: {error}"
            ) from error


def _copy_to_cpu(state: Any) -> Any:
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: _copy_to_cpu(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(_copy_to_cpu(value) for value in state)
    return state
