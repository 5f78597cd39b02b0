"""Changes of torchvision's networks for a changing number of devices, and their precision."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from syne_hypersched.training import BatchDropout


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--norm", choices=("batch", "group"), default="batch", help="group: does not depend on the number of devices"
    )
    parser.add_argument(
        "--precision",
        choices=("mixed", "single", "double"),
        default="mixed",
        help="mixed is single on a CPU; double with --norm group shows that resizing changes nothing",
    )


def adapt_network(network: nn.Module, norm: str, device: torch.device, num_devices: int) -> nn.Module:
    """Makes a network depend as little as possible on the number of devices; call it before wrapping the network.

    Dropout masks depend on the position in the global batch. If ``norm`` is ``"group"``, batch normalisation is
    replaced by group normalisation. Otherwise several GPUs exchange their statistics. These modules have the same
    state, so checkpoints fit any number of devices. PyTorch has no such modules for CPUs: there, each process
    normalises its own share of the batch.
    """
    network = replace_modules(network, nn.Dropout, lambda dropout: BatchDropout(dropout.p))
    if norm == "group":
        return replace_modules(network, nn.BatchNorm2d, group_norm_for)
    if device.type == "cuda" and num_devices > 1:
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return network


def group_norm_for(batch_norm: nn.BatchNorm2d) -> nn.GroupNorm:
    """Group normalisation (Wu and He, 2018) of the same number of channels, in at most 32 groups."""
    return nn.GroupNorm(math.gcd(32, batch_norm.num_features), batch_norm.num_features)


def replace_modules(network: nn.Module, kind: type[nn.Module], make: Callable[[Any], nn.Module]) -> nn.Module:
    """Replaces all modules of ``kind`` inside a network by the result of ``make``."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, kind):
                setattr(parent, name, make(child))
    return network
