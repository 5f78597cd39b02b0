"""A small convolutional network like LeNet, on MNIST, Fashion-MNIST or other data in the same format.

Alone: ``python mnist.py --data_dir FOLDER --epochs 3``. As a trial of Syne Tune, and on any number of devices, see
``launch_mnist.py``. The folder holds ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``, with or without
``.gz``, and the same files of ``t10k`` for ``--validate_on test``. By default the last sixth of the training images is
used for validation only, so that the test images remain for a final test of the tuned network.

The network has no batch normalisation, and its dropout does not depend on the devices. With a fixed batch, a resized
run has the same losses as an undisturbed run, except for rounding.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from _arguments import add_batch_arguments, add_run_arguments, batch_options
from _idx import read_images_and_labels
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from syne_hypersched.training import BatchDropout, ElasticRun

HELD_OUT_SHARE = 1 / 6


class LeNet(nn.Module):
    """Two convolutions of ``width`` and ``2 * width`` channels, each with pooling, and two hidden layers.

    With ``width=8`` the layers are about as large as those of LeNet-5 (LeCun et al., 1998). The inputs are images as in
    the files: bytes of shape (n, 1, height, width).

    Raises
    ------
    ValueError
        An image is too small for two poolings.
    """

    def __init__(self, image_shape: tuple[int, int], num_classes: int, width: int, dropout: float):
        super().__init__()
        height_left, width_left = ((length // 2 - 4) // 2 for length in image_shape)
        if min(height_left, width_left) < 1:
            raise ValueError(f"image_shape must be at least 12 by 12, but got {tuple(image_shape)}")
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2 * width * height_left * width_left, 16 * width),
            nn.ReLU(),
            BatchDropout(dropout),
            nn.Linear(16 * width, 10 * width),
            nn.ReLU(),
            BatchDropout(dropout),
            nn.Linear(10 * width, num_classes),
        )
        for module in self.layers:
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                # PyTorch's default weights are smaller: the signal fades, and the loss falls only after some epochs.
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images.float() / 255 - 0.5)


def load_data(
    folder: Path, validate_on: str, num_train: int | None = None, num_val: int | None = None
) -> tuple[TensorDataset, TensorDataset]:
    """Images (n, 1, height, width) as bytes and labels (n,) for training, and those for validation.

    Raises
    ------
    FileNotFoundError, ValueError
        A file is missing or broken, or ``num_train`` or ``num_val`` is not from 1 to the number of images.
    """
    images, labels = (torch.from_numpy(values) for values in read_images_and_labels(folder, "train"))
    if validate_on == "test":
        val_images, val_labels = (torch.from_numpy(values) for values in read_images_and_labels(folder, "t10k"))
    else:
        start = len(images) - max(1, round(len(images) * HELD_OUT_SHARE))
        images, val_images = images[:start], images[start:]
        labels, val_labels = labels[:start], labels[start:]
    return _first("num_train", num_train, images, labels), _first("num_val", num_val, val_images, val_labels)


def _first(name: str, number: int | None, images: Tensor, labels: Tensor) -> TensorDataset:
    if number is not None and not 1 <= number <= len(images):
        raise ValueError(f"{name} must be from 1 to {len(images)}, the images that there are, but got {number!r}")
    return TensorDataset(images[:number].unsqueeze(1), labels[:number].long())


def train(args: argparse.Namespace) -> None:
    train_data, val_data = load_data(Path(args.data_dir), args.validate_on, args.num_train, args.num_val)
    image_shape = train_data.tensors[0].shape[2:]
    num_classes = 1 + int(max(data.tensors[1].max() for data in (train_data, val_data)))
    with ElasticRun(args.st_checkpoint_dir, seed=args.seed, checkpoint_every_s=args.checkpoint_every_s) as run:
        model = run.wrap(LeNet(image_shape, num_classes, args.width, args.dropout))
        run.track(
            optimizer=torch.optim.SGD(
                model.parameters(),
                lr=args.learning_rate,
                momentum=args.momentum,
                weight_decay=args.weight_decay,
                nesterov=args.momentum > 0,
            )
        )
        batches = run.loader(train_data, **batch_options(args))
        val_batches = run.loader(val_data, batch_size=1000, train=False)
        for _ in run.epochs(args.epochs):
            for images, labels in batches:
                loss = functional.cross_entropy(model(images), labels)
                run.step(loss)
                run.add(train_loss=loss)
            with run.validating():
                for images, labels in val_batches:
                    logits = model(images)
                    run.add(
                        val_loss=functional.cross_entropy(logits, labels),
                        val_accuracy=(logits.argmax(dim=1) == labels).float().mean(),
                    )
            run.report()


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_run_arguments(parser)
    add_batch_arguments(parser, batch_size=64)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--learning_rate", type=float, default=0.02)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--weight_decay", type=float, default=1e-4)
    parser.add_argument("--width", type=int, default=8, help="channels of the first convolution")
    parser.add_argument("--dropout", type=float, default=0.1, help="in both hidden layers")
    parser.add_argument("--num_train", type=int, help="number of images for training, to save time")
    parser.add_argument("--num_val", type=int, help="number of images for validation, to save time")
    parser.add_argument("--validate_on", choices=("held_out", "test"), default="held_out")
    args = parser.parse_args()
    if args.data_dir is None:
        parser.error("--data_dir is needed: the folder of the IDX files")
    return args


if __name__ == "__main__":
    train(parse_args())
