"""ResNet-50, or another network of torchvision, on a folder of images like ImageNet's, with a report every k steps.

Alone: ``python imagenet.py --data_dir FOLDER``, where FOLDER has ``train/CLASS/*.jpg`` and ``val/CLASS/*.jpg`` (or any
other format that Pillow reads). As a trial of Syne Tune, and on any number of devices, see ``launch_imagenet.py``.

An epoch of ImageNet is too long for the decisions of a scheduler. So the unit of training is a *round*, the images of
``--num_steps`` batches. An epoch takes several rounds, and the next epoch begins when all images have been used. Each
round ends with a validation, a checkpoint and a report. The entry ``epoch`` of the report is the number of the round.
If the batch grows with the devices, a round has the same number of images in fewer steps. The learning rate depends on
the round: it rises over the first ``--warmup_rounds`` (Goyal et al., 2017), and then falls like a cosine.

How to choose rungs: the scheduler counts rounds, and its ``max_t`` is ``--num_rounds``.

- A round should be long compared with a validation (``--num_val`` makes validations shorter) and with a relaunch. It
  should be short compared with the deadline, so that decisions are made in time. A good choice is some minutes per
  round, and dozens of rounds until the deadline.
- The lowest rung (``grace_period``) should come after the warm-up, because large learning rates have their effect only
  then. At this rung, trials should differ by more than the noise of a validation. Half an epoch is a good start.
- A round should have the same number of images in all trials, so ``--batch_size`` and ``--num_steps`` are not tuned.

A crash loses at most ``--checkpoint_every_s`` seconds of training. A SIGTERM loses nothing.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import torch
from _arguments import add_batch_arguments, add_run_arguments, batch_options
from _networks import adapt_network, add_network_arguments
from _torchvision import datasets, models, v2
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Dataset, Subset

from syne_hypersched.training import ElasticRun

# These two also return the logits of auxiliary classifiers.
NETWORKS = sorted(set(models.list_models(module=models)) - {"googlenet", "inception_v3"})
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_transform(image_size: int, augment: bool) -> v2.Transform:
    """The usual augmentation of ImageNet; for validation, a centre crop of the image at 8/7 of the size."""
    if augment:
        geometry = [v2.RandomResizedCrop(image_size), v2.RandomHorizontalFlip()]
    else:
        geometry = [v2.Resize(image_size * 8 // 7), v2.CenterCrop(image_size)]
    to_numbers = [v2.PILToTensor(), v2.ToDtype(torch.get_default_dtype(), scale=True), v2.Normalize(MEAN, STD)]
    return v2.Compose([*geometry, *to_numbers])


def load_data(data_dir: Path, image_size: int, num_val: int | None) -> tuple[Dataset[Any], Dataset[Any], int]:
    """Images for training, images for validation, and the number of classes.

    Raises
    ------
    FileNotFoundError
        ``train`` or ``val`` is missing, or one of its classes has no image.
    ValueError
        The two have different classes, or ``num_val`` is not from 1 to the number of images in ``val``.
    """
    train_data = datasets.ImageFolder(data_dir / "train", make_transform(image_size, augment=True))
    val_data = datasets.ImageFolder(data_dir / "val", make_transform(image_size, augment=False))
    if train_data.classes != val_data.classes:
        differ = sorted(set(train_data.classes) ^ set(val_data.classes))
        raise ValueError(f"train and val in {data_dir} must have the same classes, but only one has {differ[:5]}")
    num_classes = len(train_data.classes)
    if num_val is None:
        return train_data, val_data, num_classes
    if not 1 <= num_val <= len(val_data):
        raise ValueError(f"num_val must be from 1 to {len(val_data)}, the images in val, but got {num_val!r}")
    # The folder is sorted by class.
    evenly = [index * len(val_data) // num_val for index in range(num_val)]
    return train_data, Subset(val_data, evenly), num_classes


def learning_rate_factor(rounds_done: int, num_rounds: int, warmup_rounds: int) -> float:
    """The learning rate of the round after ``rounds_done``, relative to the user's learning rate."""
    if rounds_done < warmup_rounds:
        return (rounds_done + 1) / (warmup_rounds + 1)
    return 0.5 * (1 + math.cos(math.pi * (rounds_done - warmup_rounds) / max(1, num_rounds - warmup_rounds)))


def train(args: argparse.Namespace) -> None:
    if args.precision == "double":
        torch.set_default_dtype(torch.float64)
    train_data, val_data, num_classes = load_data(Path(args.data_dir), args.image_size, args.num_val)
    with ElasticRun(args.st_checkpoint_dir, seed=args.seed, checkpoint_every_s=args.checkpoint_every_s) as run:
        network = models.get_model(args.network, weights=None, num_classes=num_classes)
        model = run.wrap(adapt_network(network, args.norm, run.device, run.num_devices))
        optimizer = torch.optim.SGD(
            model.parameters(),
            lr=args.learning_rate,
            momentum=args.momentum,
            weight_decay=args.weight_decay,
            nesterov=args.momentum > 0,
        )
        mixed = run.device.type == "cuda" and args.precision == "mixed"
        schedule = LambdaLR(
            optimizer,
            lambda done: learning_rate_factor(done, args.num_rounds, min(args.warmup_rounds, args.num_rounds)),
        )
        run.track(optimizer=optimizer, schedule=schedule, scaler=torch.amp.GradScaler(run.device.type, enabled=mixed))
        workers = {"num_workers": args.num_workers}
        batches = run.loader(train_data, **batch_options(args), **workers)
        val_batches = run.loader(val_data, batch_size=args.batch_size, train=False, **workers)
        for _ in run.rounds(args.num_rounds, args.num_steps):
            for images, labels in batches:
                with torch.autocast(run.device.type, torch.float16, enabled=mixed):
                    loss = functional.cross_entropy(model(images), labels, label_smoothing=args.label_smoothing)
                run.step(loss)
                run.add(train_loss=loss)
            with run.validating(), torch.autocast(run.device.type, torch.float16, enabled=mixed):
                for images, labels in val_batches:
                    logits = model(images)
                    run.add(
                        val_loss=functional.cross_entropy(logits, labels),
                        val_accuracy=(logits.argmax(dim=1) == labels).float().mean(),
                    )
            # Before the report, since its checkpoint must have the learning rate of the next round.
            schedule.step()
            run.report(optimizer_steps=run.num_steps)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_run_arguments(parser)
    add_batch_arguments(parser, batch_size=256)
    add_network_arguments(parser)
    parser.add_argument("--network", choices=NETWORKS, default="resnet50", metavar="NAME")
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--num_val", type=int, help="number of images for validation")
    parser.add_argument("--num_workers", type=int, default=4, help="processes that read images, for each device")
    parser.add_argument("--num_rounds", type=int, default=100)
    parser.add_argument("--num_steps", type=int, default=500, help="batches in a round")
    parser.add_argument("--warmup_rounds", type=int, default=5)
    parser.add_argument("--learning_rate", type=float, default=0.1)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--weight_decay", type=float, default=1e-4)
    parser.add_argument("--label_smoothing", type=float, default=0.1)
    args = parser.parse_args()
    if args.data_dir is None:
        parser.error("--data_dir is needed: the folder with train and val in it")
    return args


if __name__ == "__main__":
    train(parse_args())
