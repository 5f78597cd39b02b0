"""A small network on scikit-learn's handwritten digits, with Lightning's Trainer.

The script also runs alone: ``python lightning_digits.py --st_checkpoint_dir results --epochs 3``.
"""

from __future__ import annotations

import argparse
import contextlib
import warnings

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

# If PyTorch is for CPUs and torchvision for CUDA, torchmetrics can be imported only after this import.
with contextlib.suppress(ModuleNotFoundError):
    import _torchvision  # noqa: F401

import lightning as L

from syne_hypersched.integrations.lightning import ElasticCallback


class Digits(L.LightningModule):
    def __init__(self, learning_rate: float, width: int) -> None:
        super().__init__()
        self.learning_rate = learning_rate
        self.net = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    def training_step(self, batch, batch_idx):
        images, labels = batch
        return functional.cross_entropy(self.net(images), labels)

    def validation_step(self, batch, batch_idx):
        images, labels = batch
        predicted = self.net(images)
        self.log("val_loss", functional.cross_entropy(predicted, labels))
        self.log("val_accuracy", (predicted.argmax(dim=1) == labels).float().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.learning_rate, momentum=0.9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--learning_rate", type=float, default=0.1)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--st_checkpoint_dir", default="checkpoints")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", module="lightning")
    L.seed_everything(args.seed, verbose=False)
    images, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
    train_set, val_set = torch.utils.data.random_split(data, [1437, 360], torch.Generator().manual_seed(0))

    elastic = ElasticCallback(args.st_checkpoint_dir, metrics=("val_loss", "val_accuracy"), global_batch_size=64)
    train = DataLoader(train_set, batch_size=elastic.local_batch_size, shuffle=True)
    trainer = L.Trainer(
        max_epochs=args.epochs, devices=elastic.num_devices, callbacks=[elastic], logger=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    model = Digits(args.learning_rate, args.width)
    trainer.fit(model, train, DataLoader(val_set, batch_size=120), ckpt_path=elastic.ckpt_path)


if __name__ == "__main__":
    main()
