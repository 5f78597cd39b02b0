"""What torchvision's networks need on a changing number of devices, and the precision they compute with."""

from __future__ import annotations

import argparse
import math

import torch
from torch import nn


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--norm", choices=("batch", "group"), default="batch", help="group: does not depend on the number of devices"
    )
    parser.add_argument(
        "--precision",
        choices=("mixed", "single", "double"),
        default="mixed",
        help="mixed is single on a CPU; with double and --norm group, resizing can be seen to change nothing",
    )


def adapt_norm(network: nn.Module, norm: str, device: torch.device, num_devices: int) -> nn.Module:
    """Batch normalisation with statistics of the whole batch where that is possible, or none of it.

    Several GPUs exchange the statistics, in modules with the same state, so that checkpoints fit any number of devices.
    PyTorch has nothing of the kind for CPUs: there, each process normalises with its own share of the batch.
    """
    if norm == "group":
        return with_group_norm(network)
    if device.type == "cuda" and num_devices > 1:
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return network


def with_group_norm(network: nn.Module) -> nn.Module:
    """Puts group normalisation, at most 32 groups, in the place of batch normalisation (Wu and He, 2018)."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.GroupNorm(math.gcd(32, child.num_features), child.num_features))
    return network
