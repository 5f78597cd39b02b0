"""A small convolutional network on scikit-learn's handwritten digits, in PyTorch.

The script runs alone (``python digits_cnn.py --epochs 3``), as a trial of Syne Tune, and on several devices. Then it is
started once per device, with the environment of ``torch.distributed`` (``RANK``, ``WORLD_SIZE``...). It may be ended at
any moment, and continue on another number of devices. The training is then the same, only faster or slower: the global
batch is divided among the devices, and no random number depends on the devices.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from syne_hypersched.training import BatchDropout, ElasticRun

IMAGE_SIZE = 8
NUM_CLASSES = 10
NOISE_STD = 0.3
TRAIN_COPIES = 3
VAL_COPIES = 2


class DigitsCNN(nn.Module):
    """Three convolutions of ``width``, ``2 * width`` and ``4 * width`` channels and a linear classifier.

    Group normalisation, unlike batch normalisation, does not depend on how a batch is split among processes.
    """

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.GroupNorm(4, width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.GroupNorm(4, 2 * width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            nn.GroupNorm(4, 4 * width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            BatchDropout(dropout),
            nn.Linear(4 * width * (IMAGE_SIZE // 4) ** 2, NUM_CLASSES),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


def load_data(val_share: float = 0.25) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Images (n, 1, 8, 8) in [0, 1] and labels (n,) for training, and those for validation."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16.0).astype(np.float32).reshape(-1, 1, IMAGE_SIZE, IMAGE_SIZE)
    parts = train_test_split(images, labels, test_size=val_share, random_state=0, stratify=labels)
    train_x, val_x, train_y, val_y = (torch.from_numpy(part) for part in parts)
    return (train_x, train_y), (val_x, val_y)


def distort(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shifts each image by up to one pixel in both directions, and adds noise to every pixel."""
    padded = functional.pad(images, (1, 1, 1, 1))
    # (n, 1, 3, 3, 8, 8): all nine positions. One position is chosen for each image.
    positions = padded.unfold(2, IMAGE_SIZE, 1).unfold(3, IMAGE_SIZE, 1)
    dy, dx = torch.randint(0, 3, (2, len(images)), generator=generator)
    moved = positions[torch.arange(len(images)), :, dy, dx]
    return moved + NOISE_STD * torch.randn(moved.shape, generator=generator)


def learning_rate_in(epoch: int, learning_rate: float, final_lr_factor: float, num_epochs: int) -> float:
    """The learning rate falls geometrically from the first epoch to ``final_lr_factor`` of it in the last one."""
    return learning_rate * final_lr_factor ** ((epoch - 1) / max(1, num_epochs - 1))


def train(args: argparse.Namespace, run: ElasticRun) -> None:
    (clean_x, train_y), (val_x, val_y) = load_data(args.val_share)
    clean_x, train_y = clean_x.repeat(args.train_copies, 1, 1, 1), train_y.repeat(args.train_copies)
    train_x = torch.empty_like(clean_x)
    # Every trial is measured on the same distorted images.
    val_x = distort(val_x.repeat(VAL_COPIES, 1, 1, 1), torch.Generator().manual_seed(0))
    val_y = val_y.repeat(VAL_COPIES)

    model = run.wrap(DigitsCNN(args.width, args.dropout))
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=args.learning_rate,
        momentum=args.momentum,
        weight_decay=args.weight_decay,
        nesterov=args.momentum > 0,
    )
    run.track(optimizer=optimizer)
    batch_mode = {"batch_mode": "goodput", "max_batch_size": args.max_batch_size} if args.max_batch_size else {}
    train_batches = run.loader(TensorDataset(train_x, train_y), args.batch_size, **batch_mode)
    val_batches = run.loader(TensorDataset(val_x, val_y), len(val_x), train=False)

    for epoch in run.epochs(args.epochs):
        # Both depend only on the epoch, so they are the same in a run that continues inside an epoch.
        train_x.copy_(distort(clean_x, torch.Generator().manual_seed(args.seed * 1_000_003 + epoch)))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_in(epoch, args.learning_rate, args.final_lr_factor, args.epochs)
        for images, labels in train_batches:
            loss = functional.cross_entropy(model(images), labels)
            run.step(loss)
            run.add(train_loss=loss)
        with run.validating():
            for images, labels in val_batches:
                logits = model(images)
                is_right = (logits.argmax(dim=1) == labels).double()
                run.add(val_accuracy=is_right.mean(), val_loss=functional.cross_entropy(logits, labels))
        run.report()


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--learning_rate", type=float, default=0.05)
    parser.add_argument(
        "--final_lr_factor", type=float, default=1.0, help="learning rate of the last epoch over that of the first"
    )
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--weight_decay", type=float, default=1e-4)
    parser.add_argument("--width", type=int, default=16, help="channels of the first convolution, a multiple of 4")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--batch_size", type=int, default=64, help="images in a step, over all devices together")
    parser.add_argument("--max_batch_size", type=int, help="largest batch that goodput may choose")
    parser.add_argument(
        "--virtual_devices",
        type=int,
        help="compute as if on this number of devices: bitwise the same result on any number",
    )
    parser.add_argument("--val_share", type=float, default=0.25, help="share of the images to validate on")
    parser.add_argument(
        "--train_copies",
        type=int,
        default=TRAIN_COPIES,
        help="number of distorted copies of each image per epoch",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--st_checkpoint_dir", help="where the checkpoint is written to and resumed from")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with ElasticRun(args.st_checkpoint_dir, seed=args.seed, virtual_devices=args.virtual_devices) as run:
        train(args, run)


if __name__ == "__main__":
    main()
