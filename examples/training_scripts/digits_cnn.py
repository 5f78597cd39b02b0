"""A small convolutional network on scikit-learn's handwritten digits, in PyTorch.

Runs alone (``python digits_cnn.py --epochs 3``), as a trial of Syne Tune, and on several devices at once: started once
per device with the environment of ``torch.distributed`` (``RANK``, ``WORLD_SIZE``...) it trains with
DistributedDataParallel, on NCCL where each process has a GPU and on Gloo otherwise. The global batch is split among the
processes, and every random number but dropout's depends on the seed and the epoch alone: a run may go on from its
checkpoint with another number of devices, and trains as it would have, only faster or slower.

After each epoch the checkpoint is written before the result is reported, so that every result can be resumed from.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from syne_tune import Reporter
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

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
            nn.Dropout(dropout),
            nn.Linear(4 * width * (IMAGE_SIZE // 4) ** 2, NUM_CLASSES),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


def load_data(val_share: float = 0.25) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Images (n, 1, 8, 8) in [0, 1] and labels (n,) to train on, and those to validate on."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16.0).astype(np.float32).reshape(-1, 1, IMAGE_SIZE, IMAGE_SIZE)
    parts = train_test_split(images, labels, test_size=val_share, random_state=0, stratify=labels)
    train_x, val_x, train_y, val_y = (torch.from_numpy(part) for part in parts)
    return (train_x, train_y), (val_x, val_y)


def distort(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image moved by up to one pixel in both directions, with noise on every pixel."""
    padded = functional.pad(images, (1, 1, 1, 1))
    # (n, 1, 3, 3, 8, 8): every one of the nine positions, of which each image takes one.
    positions = padded.unfold(2, IMAGE_SIZE, 1).unfold(3, IMAGE_SIZE, 1)
    dy, dx = torch.randint(0, 3, (2, len(images)), generator=generator)
    moved = positions[torch.arange(len(images)), :, dy, dx]
    return moved + NOISE_STD * torch.randn(moved.shape, generator=generator)


@contextlib.contextmanager
def sigterm_deferred() -> Iterator[None]:
    """Lets a SIGTERM that arrives inside the block take effect at its end; elsewhere it ends the process at once."""
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda signum, frame: received.append(signum))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if received:
            os.kill(os.getpid(), signal.SIGTERM)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes aside and renames, so that ``path`` is always one whole checkpoint, the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".tmp")
    with aside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    batch_size: int,
    num_ranks: int,
    rank: int,
) -> Tensor:
    """One pass over the images in the order given; returns the sum of the losses of this rank's share."""
    model.train()
    total = torch.zeros((), device=images.device)
    for batch in torch.arange(len(images)).split(batch_size):
        share = batch[rank::num_ranks]
        loss = functional.cross_entropy(model(images[share]), labels[share], reduction="sum")
        optimizer.zero_grad(set_to_none=True)
        # DDP averages gradients over the ranks; scaled like this, that is the mean over the global batch even where the
        # shares differ in size.
        (loss * num_ranks / len(batch)).backward()
        optimizer.step()
        total += loss.detach()
    return total


@torch.inference_mode()
def validate(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the losses and number of images classified correctly."""
    model.eval()
    logits = model(images)
    return functional.cross_entropy(logits, labels, reduction="sum"), (logits.argmax(dim=1) == labels).sum()


def learning_rate_in(epoch: int, learning_rate: float, final_lr_factor: float, num_epochs: int) -> float:
    """The learning rate falls geometrically from the first epoch to ``final_lr_factor`` of it in the last one."""
    return learning_rate * final_lr_factor ** ((epoch - 1) / max(1, num_epochs - 1))


def run_epoch(
    model: nn.Module,
    network: DigitsCNN,
    optimizer: torch.optim.Optimizer,
    train_data: tuple[Tensor, Tensor],
    val_data: tuple[Tensor, Tensor],
    batch_size: int,
    seed: int,
    num_ranks: int,
    rank: int,
) -> tuple[float, float, int]:
    """Trains for one epoch and validates.

    ``seed`` stands for all random numbers of the epoch; the validation images come as they are. Returns the sum of the
    training losses, that of the validation losses and the number of validation images classified correctly, over all
    ranks.
    """
    train_x, train_y = train_data
    val_x, val_y = val_data
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(train_x), generator=generator)
    images, labels = distort(train_x, generator)[order].to(val_x.device), train_y[order].to(val_x.device)
    torch.manual_seed(seed * 1_009 + rank)
    train_loss = train_epoch(model, optimizer, images, labels, batch_size, num_ranks, rank)
    val_loss, val_correct = validate(network, val_x[rank::num_ranks], val_y[rank::num_ranks])
    sums = torch.stack([train_loss, val_loss, val_correct.to(val_loss.dtype)])
    if num_ranks > 1:
        dist.all_reduce(sums)
    train_loss_sum, val_loss_sum, num_correct = sums.tolist()
    return train_loss_sum, val_loss_sum, round(num_correct)


def choose_device() -> torch.device:
    """This process's GPU where there is one, else the CPU with as many threads as this process may use."""
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
        return device
    # PyTorch reads the variable only while it is imported, which may have been before it was set for this trial.
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    return torch.device("cpu")


def train(args: argparse.Namespace, device: torch.device, rank: int, num_ranks: int) -> None:
    torch.manual_seed(args.seed)
    network = DigitsCNN(args.width, args.dropout).to(device)
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=args.learning_rate,
        momentum=args.momentum,
        weight_decay=args.weight_decay,
        nesterov=args.momentum > 0,
    )
    checkpoint_path = Path(args.st_checkpoint_dir) / "checkpoint.pt" if args.st_checkpoint_dir else None
    epochs_done = 0
    if checkpoint_path is not None and checkpoint_path.exists():
        checkpoint = torch.load(checkpoint_path, map_location=device, weights_only=True)
        network.load_state_dict(checkpoint["network"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        epochs_done = checkpoint["epoch"]
    model = DistributedDataParallel(network) if num_ranks > 1 else network

    (train_x, train_y), (val_x, val_y) = load_data()
    train_x, train_y = train_x.repeat(TRAIN_COPIES, 1, 1, 1), train_y.repeat(TRAIN_COPIES)
    val_x, val_y = val_x.repeat(VAL_COPIES, 1, 1, 1), val_y.repeat(VAL_COPIES)
    # Every trial is measured on the same distorted images.
    val_x, val_y = distort(val_x, torch.Generator().manual_seed(0)).to(device), val_y.to(device)

    report = Reporter()
    for epoch in range(epochs_done + 1, args.epochs + 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_in(epoch, args.learning_rate, args.final_lr_factor, args.epochs)
        train_loss_sum, val_loss_sum, num_correct = run_epoch(
            model,
            network,
            optimizer,
            (train_x, train_y),
            (val_x, val_y),
            args.batch_size,
            args.seed * 1_000_003 + epoch,
            num_ranks,
            rank,
        )
        if rank != 0:
            continue
        with sigterm_deferred():
            if checkpoint_path is not None:
                state = {"epoch": epoch, "network": network.state_dict(), "optimizer": optimizer.state_dict()}
                save_checkpoint(checkpoint_path, state)
            report(
                epoch=epoch,
                val_accuracy=num_correct / len(val_x),
                val_loss=val_loss_sum / len(val_x),
                train_loss=train_loss_sum / len(train_x),
            )


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
    parser.add_argument("--batch_size", type=int, default=64, help="images in a step, over all processes together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--st_checkpoint_dir", help="where the checkpoint is written to and resumed from")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    device = choose_device()
    rank, num_ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if num_ranks == 1:
        train(args, device, rank, num_ranks)
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    train(args, device, rank, num_ranks)
    # The model, gone but not collected, keeps Gloo's threads alive, and one that outlives the interpreter aborts it.
    gc.collect()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
