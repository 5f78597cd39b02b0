"""Trains a small model on samples that carry random numbers, whose means show whether each was counted exactly once.

The number of samples is prime, so that last batches are uneven. Used by ``invisible_resizing.py``.
"""

from __future__ import annotations

import argparse

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset

from syne_hypersched.training import ElasticRun

NUM_SAMPLES = 4999
NUM_HASHES = 3


class Samples(Dataset[dict[str, torch.Tensor]]):
    """Samples that are fetched one by one, so that worker processes are used."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.features = torch.randn(NUM_SAMPLES, 8, generator=generator)
        self.hashes = torch.rand(NUM_SAMPLES, NUM_HASHES, generator=generator, dtype=torch.float64) + 0.5

    def __len__(self) -> int:
        return NUM_SAMPLES

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        # As in augmentation: the result must not depend on the process that fetches the sample.
        noisy = self.features[index] + 0.1 * torch.randn(8)
        return {"features": noisy, "hashes": self.hashes[index]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--max_local_batch_size", type=int)
    parser.add_argument("--num_workers", type=int, default=0)
    parser.add_argument("--st_checkpoint_dir")
    args = parser.parse_args()
    samples = Samples()
    with ElasticRun(args.st_checkpoint_dir) as run:
        model = run.wrap(nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1)))
        run.track(optimizer=torch.optim.Adam(model.parameters(), lr=1e-3))
        batches = run.loader(
            samples, args.batch_size, max_local_batch_size=args.max_local_batch_size, num_workers=args.num_workers
        )
        for _ in run.epochs(args.epochs):
            for batch in batches:
                target = batch["features"].sum(dim=1, keepdim=True)
                loss = functional.mse_loss(model(batch["features"]), target)
                run.step(loss)
                means = batch["hashes"].mean(dim=0)
                run.add(train_loss=loss, **{f"mean_hash_{number}": mean for number, mean in enumerate(means)})
            expected = samples.hashes.mean(dim=0)
            report = run.report()
            for number in range(NUM_HASHES):
                if abs(report[f"mean_hash_{number}"] / expected[number].item() - 1) > 1e-12:
                    raise RuntimeError(f"samples were missed or counted twice: {report}, expected {expected}")


if __name__ == "__main__":
    main()
