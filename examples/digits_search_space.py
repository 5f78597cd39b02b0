"""The search space and the arguments that the launch scripts for ``digits_cnn.py`` share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from syne_tune.config_space import choice, loguniform, uniform

ENTRY_POINT = Path(__file__).parent / "training_scripts" / "digits_cnn.py"
METRIC = "val_accuracy"
TIME_ATTR = "epoch"
MAX_EPOCHS = 160

CONFIG_SPACE = {
    "learning_rate": loguniform(3e-3, 0.5),
    "momentum": uniform(0.0, 0.97),
    "weight_decay": loguniform(1e-6, 1e-2),
    "width": choice([8, 12, 16]),
    "dropout": uniform(0.0, 0.5),
    "batch_size": choice([128, 256, 512]),
    "epochs": MAX_EPOCHS,
}


def make_parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--deadline", type=float, default=60.0, help="deadline of the tuning in seconds (default 60)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scheduler (default 0)")
    parser.add_argument(
        "--num-devices", type=int, help="CPU slots that trials share (default: one per core, at least 2)"
    )
    parser.add_argument("--output", help="folder for the results (default: Syne Tune's own, ~/syne-tune)")
    return parser


def parse_args(parser: argparse.ArgumentParser) -> argparse.Namespace:
    args = parser.parse_args()
    if args.num_devices is None:
        args.num_devices = max(2, len(os.sched_getaffinity(0)))
    if args.output is not None:
        # Syne Tune reads the folder of its experiments only from this variable.
        os.environ["SYNETUNE_FOLDER"] = str(Path(args.output).resolve())
    return args
