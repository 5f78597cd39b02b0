"""A training script without faults, into which ``check_faults.py`` plants one fault at a time.

It fits a line by stochastic gradient descent with momentum, on one device or on several: each process takes its share
of a batch. It needs no library but Syne Tune.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from syne_tune import Reporter

RANK, WORLD_SIZE = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
POINTS = [(x / 64, 3 * x / 64 - 1) for x in range(64)]
STEPS_PER_EPOCH = 4


def save(folder, state):
    if RANK == 0:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "aside").write_text(json.dumps(state))
        os.replace(folder / "aside", folder / "checkpoint.json")


def load(folder):
    path = folder / "checkpoint.json"
    return json.loads(path.read_text()) if path.exists() else None


def loss_of(state):
    return sum((state["slope"] * x + state["offset"] - y) ** 2 for x, y in POINTS) / len(POINTS)


def step(state, batch, learning_rate, momentum):
    slope = sum(2 * (state["slope"] * x + state["offset"] - y) * x for x, y in batch) / len(batch)
    offset = sum(2 * (state["slope"] * x + state["offset"] - y) for x, y in batch) / len(batch)
    state["slope_velocity"] = momentum * state["slope_velocity"] - learning_rate * slope
    state["offset_velocity"] = momentum * state["offset_velocity"] - learning_rate * offset
    state["slope"] += state["slope_velocity"]
    state["offset"] += state["offset_velocity"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--step_s", type=float, default=0.03)
    parser.add_argument("--st_checkpoint_dir", type=Path)
    args = parser.parse_args()
    folder = args.st_checkpoint_dir
    batch_size = args.batch_size

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    state = {"epoch": 0, "slope": 0.0, "offset": 0.0, "slope_velocity": 0.0, "offset_velocity": 0.0}
    state.update(load(folder) or {})
    report = Reporter()
    while state["epoch"] < args.epochs:
        generator = random.Random(state["epoch"])
        for _ in range(STEPS_PER_EPOCH):
            time.sleep(args.step_s)
            # The gradients of all ranks would be averaged; here each rank computes them all.
            step(state, generator.sample(POINTS, batch_size), 0.05, 0.9)
        state["epoch"] += 1
        result = {"epoch": state["epoch"], "loss": loss_of(state), "batch_size": batch_size}
        save(folder, state)
        if RANK == 0:
            report(**result)


if __name__ == "__main__":
    main()
