"""A small network on scikit-learn's handwritten digits, with Accelerate: only the report is for the tuning.

The script also runs alone: ``python accelerate_digits.py --st_checkpoint_dir results --epochs 3``.
"""

from __future__ import annotations

import argparse
import os
import shutil

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from sklearn.datasets import load_digits
from syne_tune import Reporter
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset


class Progress:
    """The number of finished epochs, as a part of the checkpoint."""

    def __init__(self) -> None:
        self.epochs_done = 0

    def state_dict(self) -> dict[str, int]:
        return {"epochs_done": self.epochs_done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epochs_done = state["epochs_done"]


def save(accelerator: Accelerator, folder: str) -> None:
    """Writes a temporary folder and renames it, so that the folder is complete or missing."""
    accelerator.save_state(f"{folder}.aside")
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        shutil.rmtree(f"{folder}.before", ignore_errors=True)
        if os.path.isdir(folder):
            os.rename(folder, f"{folder}.before")
        os.rename(f"{folder}.aside", folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--learning_rate", type=float, default=0.1)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--st_checkpoint_dir", default="checkpoints")
    args = parser.parse_args()
    accelerator = Accelerator()
    set_seed(args.seed)
    images, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
    train_set, val_set = torch.utils.data.random_split(data, [1437, 360], torch.Generator().manual_seed(0))

    model = nn.Sequential(nn.Linear(64, args.width), nn.ReLU(), nn.Linear(args.width, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=args.learning_rate, momentum=0.9)
    # Accelerate counts the batch of one device.
    train = DataLoader(train_set, batch_size=64 // accelerator.num_processes, shuffle=True)
    model, optimizer, train, val = accelerator.prepare(model, optimizer, train, DataLoader(val_set, batch_size=60))
    progress = Progress()
    accelerator.register_for_checkpointing(progress)
    newest = os.path.join(args.st_checkpoint_dir, "newest")
    if os.path.isdir(newest):
        accelerator.load_state(newest)

    report = Reporter()
    for epoch in range(progress.epochs_done + 1, args.epochs + 1):
        model.train()
        for images, labels in train:
            optimizer.zero_grad()
            accelerator.backward(functional.cross_entropy(model(images), labels))
            optimizer.step()
        model.eval()
        with torch.no_grad():
            predicted = [accelerator.gather_for_metrics((model(images), labels)) for images, labels in val]
        logits, labels = (torch.cat(parts) for parts in zip(*predicted, strict=True))
        progress.epochs_done = epoch
        save(accelerator, newest)
        if accelerator.is_main_process:
            report(
                epoch=epoch,
                val_loss=functional.cross_entropy(logits, labels).item(),
                val_accuracy=(logits.argmax(dim=1) == labels).float().mean().item(),
            )


if __name__ == "__main__":
    main()
