"""A small training for ``joining_chaos.py``; its reports fail if a sample is missed or counted twice."""

from __future__ import annotations

import argparse
import os
import time

import torch
from torch import nn
from torch.utils.data import TensorDataset

from syne_hypersched.training import ElasticRun

NUM_SAMPLES = 61


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=1_000_000)
    parser.add_argument("--step_s", type=float, default=0.005)
    parser.add_argument("--st_checkpoint_dir")
    args = parser.parse_args()
    with ElasticRun(args.st_checkpoint_dir) as run:
        data = TensorDataset(torch.arange(float(NUM_SAMPLES)).reshape(NUM_SAMPLES, 1))
        model = run.wrap(nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)))
        run.track(optimizer=torch.optim.Adam(model.parameters(), lr=1e-3))
        batches = run.loader(data, 8)
        for _ in run.epochs(args.epochs):
            for (samples,) in batches:
                time.sleep(args.step_s)
                run.step(model(samples / NUM_SAMPLES).square().mean())
                run.add(mean=samples.double().mean())
            report = run.report(pid=os.getpid())
            if abs(report["mean"] - (NUM_SAMPLES - 1) / 2) > 1e-9:
                raise RuntimeError(f"samples were missed or counted twice: {report}")


if __name__ == "__main__":
    main()
