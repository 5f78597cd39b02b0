"""A usual training script for Syne Tune: arguments, a checkpoint, reports. It does not use devices or resizing.

The script only simulates a training: with a good learning rate the loss becomes small after few epochs. An epoch takes
``--sleep_time`` seconds.
"""

import argparse
import json
import math
import os
import time
from pathlib import Path

from syne_tune import Reporter


def load_checkpoint(path):
    with open(path) as file:
        return json.load(file)


def save_checkpoint(path, state):
    # A trial may be stopped at any moment. A temporary file is renamed, so the checkpoint is always complete.
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".tmp")
    with open(aside, "w") as file:
        json.dump(state, file)
    os.replace(aside, path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--num_epochs", type=int, required=True)
    parser.add_argument("--learning_rate", type=float, required=True)
    parser.add_argument("--sleep_time", type=float, default=0.1)
    # By convention, Syne Tune passes the checkpoint folder as this argument.
    parser.add_argument("--st_checkpoint_dir", type=str)
    args, _ = parser.parse_known_args()

    checkpoint_path = None
    epochs_done, loss = 0, 1.0
    if args.st_checkpoint_dir is not None:
        checkpoint_path = Path(args.st_checkpoint_dir) / "checkpoint.json"
        if checkpoint_path.exists():
            state = load_checkpoint(checkpoint_path)
            epochs_done, loss = state["epoch"], state["loss"]

    distance = abs(math.log10(args.learning_rate / 0.01))
    report = Reporter()
    for epoch in range(epochs_done + 1, args.num_epochs + 1):
        time.sleep(args.sleep_time)
        loss = 0.1 * distance + (loss - 0.1 * distance) * (0.8 + 0.05 * min(distance, 3.0))
        if checkpoint_path is not None:
            save_checkpoint(checkpoint_path, {"epoch": epoch, "loss": loss})
        report(epoch=epoch, loss=loss)


if __name__ == "__main__":
    main()
