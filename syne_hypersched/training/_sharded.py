"""Models that are sharded over the devices (FSDP), and their checkpoints, which every launch shards again.

Sharding is that of :func:`torch.distributed.fsdp.fully_shard`, and checkpoints are those of
:mod:`torch.distributed.checkpoint`: each device writes the shards that it has and reads the parts that it needs. Unlike
the other files of a checkpoint, PyTorch unpickles these when it loads them: load only files that you trust.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.optim import Optimizer

from syne_hypersched.training._group import ProcessGroup

SHARDS = "shards"
"""Folder in a checkpoint."""


def shard(model: nn.Module, group: ProcessGroup, units: tuple[type[nn.Module], ...]) -> nn.Module:
    """Shards a model over the devices of the launch, in place; nothing on one device.

    Parameters
    ----------
    model
        Already on the device.
    group
        The devices.
    units
        Classes of the modules whose parameters are gathered, used and freed together, as the blocks of a transformer.
    """
    if group.num_ranks > 1:
        mesh = init_device_mesh(group.device.type, (group.num_ranks,))
        for module in [module for module in model.modules() if isinstance(module, units)]:
            fully_shard(module, mesh=mesh)
        fully_shard(model, mesh=mesh)
    return model


def save_shards(folder: str, model: nn.Module, optimizers: list[Optimizer], group: ProcessGroup) -> None:
    """Writes the shards of this device into a folder that exists; every device must call it."""
    with _single_process_is_meant(group):
        save(
            _state(model, optimizers),
            storage_writer=FileSystemWriter(os.path.join(folder, SHARDS)),
            no_dist=group.num_ranks == 1,
        )


def load_shards(folder: str, model: nn.Module, optimizers: list[Optimizer], group: ProcessGroup) -> None:
    """Loads the shards that any number of devices has written; every device must call it."""
    state = _state(model, optimizers)
    with _single_process_is_meant(group):
        load(
            state,
            storage_reader=FileSystemReader(os.path.join(folder, SHARDS)),
            no_dist=group.num_ranks == 1,
        )
    set_state_dict(model, optimizers, model_state_dict=state["model"], optim_state_dict=state["optimizers"])


def _state(model: nn.Module, optimizers: list[Optimizer]) -> dict[str, Any]:
    weights, states = get_state_dict(model, optimizers)
    return {"model": weights, "optimizers": states}


@contextlib.contextmanager
def _single_process_is_meant(group: ProcessGroup) -> Iterator[None]:
    """Suppresses PyTorch's warning, at every call, that it works in a single process."""
    with warnings.catch_warnings():
        if group.num_ranks == 1:
            warnings.simplefilter("ignore", UserWarning)
        yield
