"""A small network on scikit-learn's handwritten digits, with Lightning Fabric: its own loop, without a callback.

The script also runs alone: ``python fabric_digits.py --st_checkpoint_dir results --epochs 3``.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import _torchvision  # noqa: F401  torchmetrics imports torchvision wherever it is installed
import lightning as L
import torch
from sklearn.datasets import load_digits
from syne_tune import Reporter
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

BATCH_SIZE = 64


def load(fabric: L.Fabric, data: Dataset[Any], epoch: int, seed: int) -> Any:
    """The data of an epoch, in an order that depends only on the epoch, not on launches and devices.

    Fabric gives each process one of each `world_size` samples, so a step has the same samples on any number of devices.
    """
    generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)
    order = torch.randperm(len(data), generator=generator).tolist()  # type: ignore[arg-type]
    batch_size = BATCH_SIZE // fabric.world_size  # of one device
    return fabric.setup_dataloaders(DataLoader(Subset(data, order), batch_size=batch_size, drop_last=True))


def save(fabric: L.Fabric, path: str, state: dict[str, Any]) -> None:
    """Writes a temporary file and renames it, so that the file is complete or missing."""
    fabric.save(f"{path}.aside", state)
    fabric.barrier()
    if fabric.is_global_zero:
        os.replace(f"{path}.aside", path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--learning_rate", type=float, default=0.1)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--st_checkpoint_dir", default="checkpoints")
    args = parser.parse_args()
    fabric = L.Fabric(devices=int(os.environ.get("WORLD_SIZE", 1)))
    fabric.launch()
    fabric.seed_everything(args.seed)
    images, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
    train_set, val_set = torch.utils.data.random_split(data, [1437, 360], torch.Generator().manual_seed(0))

    network = nn.Sequential(nn.Linear(64, args.width), nn.ReLU(), nn.Linear(args.width, 10))
    model, optimizer = fabric.setup(network, torch.optim.SGD(network.parameters(), lr=args.learning_rate, momentum=0.9))
    state = {"model": model, "optimizer": optimizer, "epoch": 0}
    path = os.path.join(args.st_checkpoint_dir, "state.ckpt")
    if os.path.exists(path):
        fabric.load(path, state)

    report = Reporter()
    val_images, val_labels = (
        each.to(fabric.device) for each in next(iter(DataLoader(val_set, batch_size=len(val_set))))
    )
    for epoch in range(state["epoch"] + 1, args.epochs + 1):
        for images, labels in load(fabric, train_set, epoch, args.seed):
            optimizer.zero_grad()
            fabric.backward(functional.cross_entropy(model(images), labels))
            optimizer.step()
        with torch.no_grad():
            logits = model(val_images)
        state["epoch"] = epoch
        save(fabric, path, state)
        if fabric.is_global_zero:
            report(
                epoch=epoch,
                batch_size=BATCH_SIZE,
                val_loss=functional.cross_entropy(logits, val_labels).item(),
                val_accuracy=(logits.argmax(dim=1) == val_labels).float().mean().item(),
            )


if __name__ == "__main__":
    main()
