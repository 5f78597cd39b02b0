"""Common arguments of the scripts for images, and their use in an elastic run."""

from __future__ import annotations

import argparse
from typing import Any


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The folders of data and checkpoints, and the random seed."""
    parser.add_argument("--data_dir", help="folder of the data")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--st_checkpoint_dir", help="where checkpoints are written to and resumed from")
    parser.add_argument(
        "--checkpoint_every_s", type=float, help="seconds after which to checkpoint inside an epoch too"
    )


def add_batch_arguments(parser: argparse.ArgumentParser, batch_size: int) -> None:
    """The global batch, and how it depends on the number of devices; see ``ElasticRun.loader``."""
    parser.add_argument("--batch_size", type=int, default=batch_size, help="images per step, over all devices together")
    parser.add_argument(
        "--batch_mode",
        choices=("fixed", "weak", "goodput"),
        default="fixed",
        help="the batch is constant, is multiplied by the number of devices, or is chosen up to --max_batch_size",
    )
    parser.add_argument("--max_batch_size", type=int, help="largest batch that goodput may choose")
    parser.add_argument(
        "--max_local_batch_size", type=int, help="largest number of images that fit into the memory of a device"
    )


def batch_options(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of :func:`add_batch_arguments`, for ``ElasticRun.loader``."""
    names = ("batch_size", "batch_mode", "max_batch_size", "max_local_batch_size")
    return {name: getattr(args, name) for name in names}
