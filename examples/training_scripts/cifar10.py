"""ResNet-18, -34, -50 and ShuffleNet v2 on CIFAR-10, with torchvision's networks and augmentation.

Alone: ``python cifar10.py --data_dir FOLDER --epochs 3``, or without data: ``python cifar10.py --fake_data 99 --network
shufflenet_v2_x0_5``. As a trial of Syne Tune, and on any number of devices, see ``launch_cifar10.py``. The folder has
the files of ``cifar-10-python.tar.gz``. By default the fifth batch is used for validation only. With ``--validate_on
test`` the test batch is used, as in the papers, and all five batches are used for training.

``run.track`` receives all parts of the state, so that a run can continue from its checkpoint: optimiser, learning rate
schedule, gradient scaler (mixed precision on GPUs), moving average of the weights. Only batch normalisation depends on
the number of devices: see ``_networks.py``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from _arguments import add_batch_arguments, add_run_arguments, batch_options
from _cifar10 import IMAGE_SHAPE, NUM_CLASSES, TEST_BATCH, TRAIN_BATCHES, read_batches
from _networks import adapt_network, add_network_arguments
from _torchvision import datasets, models, v2
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import Dataset

from syne_hypersched.training import ElasticRun

NETWORKS = ("resnet18", "resnet34", "resnet50", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0")
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class LabelledImages(Dataset[tuple[Tensor, int]]):
    """Images (n, 3, 32, 32) in memory, and their labels."""

    def __init__(self, images: Tensor, labels: list[int], transform: v2.Transform) -> None:
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def make_transform(augment: bool, from_pil: bool = False) -> v2.Transform:
    size = IMAGE_SHAPE[1]
    return v2.Compose(
        [
            *([v2.PILToTensor()] if from_pil else []),
            *([v2.RandomCrop(size, padding=4), v2.RandomHorizontalFlip()] if augment else []),
            v2.ToDtype(torch.get_default_dtype(), scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )


def load_data(data_dir: Path, validate_on: str) -> tuple[LabelledImages, LabelledImages]:
    """Images for training, with augmentation, and images for validation."""
    names = TRAIN_BATCHES if validate_on == "test" else TRAIN_BATCHES[:-1]
    val_names = (TEST_BATCH,) if validate_on == "test" else TRAIN_BATCHES[-1:]
    parts = []
    for batches, augment in ((names, True), (val_names, False)):
        images, labels = read_batches(data_dir, batches)
        parts.append(LabelledImages(torch.from_numpy(images), labels.tolist(), make_transform(augment)))
    return parts[0], parts[1]


def make_fake_data(num_images: int) -> tuple[Dataset[Any], Dataset[Any]]:
    """Noise with random labels, to test the program without data."""
    shape = {"image_size": IMAGE_SHAPE, "num_classes": NUM_CLASSES}
    val_size = -(-num_images // 5)
    return (
        datasets.FakeData(num_images, **shape, transform=make_transform(augment=True, from_pil=True)),
        datasets.FakeData(
            val_size, **shape, transform=make_transform(augment=False, from_pil=True), random_offset=num_images
        ),
    )


def make_network(name: str) -> nn.Module:
    """One of torchvision's networks, adapted to small images: first convolution 3x3 with stride 1, and no pooling.

    He et al. (2016) made this change for CIFAR-10. Their first layers for ImageNet would reduce 32x32 pixels to 8x8.
    """
    network = models.get_model(name, weights=None, num_classes=NUM_CLASSES)
    stem = network.conv1 if isinstance(network.conv1, nn.Conv2d) else network.conv1[0]
    new_stem = nn.Conv2d(stem.in_channels, stem.out_channels, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(new_stem.weight, mode="fan_out", nonlinearity="relu")
    if stem is network.conv1:
        network.conv1 = new_stem
    else:
        network.conv1[0] = new_stem
    network.maxpool = nn.Identity()
    return network


def train(args: argparse.Namespace) -> None:
    if args.precision == "double":
        torch.set_default_dtype(torch.float64)
    if args.fake_data is not None:
        train_data, val_data = make_fake_data(args.fake_data)
    else:
        train_data, val_data = load_data(Path(args.data_dir), args.validate_on)
    with ElasticRun(args.st_checkpoint_dir, seed=args.seed, checkpoint_every_s=args.checkpoint_every_s) as run:
        on_gpu = run.device.type == "cuda"
        network = adapt_network(make_network(args.network), args.norm, run.device, run.num_devices)
        average = None
        if args.ema_decay > 0:
            average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(args.ema_decay), use_buffers=True)
            average = run.track(average=average.to(run.device).eval())
        model = run.wrap(network)
        optimizer = torch.optim.SGD(
            model.parameters(),
            lr=args.learning_rate,
            momentum=args.momentum,
            weight_decay=args.weight_decay,
            nesterov=args.momentum > 0,
        )
        mixed = on_gpu and args.precision == "mixed"
        schedule = CosineAnnealingLR(optimizer, T_max=args.epochs)
        run.track(optimizer=optimizer, schedule=schedule, scaler=torch.amp.GradScaler(run.device.type, enabled=mixed))
        batches = run.loader(train_data, num_workers=args.num_workers, **batch_options(args))
        val_batches = run.loader(val_data, batch_size=500, train=False, num_workers=args.num_workers)
        for _ in run.epochs(args.epochs):
            for images, labels in batches:
                with torch.autocast(run.device.type, torch.float16, enabled=mixed):
                    loss = functional.cross_entropy(model(images), labels, label_smoothing=args.label_smoothing)
                if run.step(loss) and average is not None:
                    average.update_parameters(network)
                run.add(train_loss=loss)
            with run.validating(), torch.autocast(run.device.type, torch.float16, enabled=mixed):
                for images, labels in val_batches:
                    logits = (model if average is None else average)(images)
                    run.add(
                        val_loss=functional.cross_entropy(logits, labels),
                        val_accuracy=(logits.argmax(dim=1) == labels).float().mean(),
                    )
            # Before the report, since its checkpoint must have the learning rate of the next epoch.
            schedule.step()
            run.report()


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_run_arguments(parser)
    add_batch_arguments(parser, batch_size=128)
    add_network_arguments(parser)
    parser.add_argument("--fake_data", type=int, metavar="N", help="train on N images of noise instead of --data_dir")
    parser.add_argument("--validate_on", choices=("held_out", "test"), default="held_out")
    parser.add_argument("--num_workers", type=int, default=0, help="processes that augment images, for each device")
    parser.add_argument("--network", choices=NETWORKS, default="resnet18")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--learning_rate", type=float, default=0.1, help="of the first epoch; falls like a cosine")
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--weight_decay", type=float, default=5e-4)
    parser.add_argument("--label_smoothing", type=float, default=0.0)
    parser.add_argument(
        "--ema_decay", type=float, default=0.0, help="of the averaged weights, which are validated; 0: no average"
    )
    args = parser.parse_args()
    if (args.data_dir is None) == (args.fake_data is None):
        parser.error("one of --data_dir and --fake_data is needed")
    return args


if __name__ == "__main__":
    train(parse_args())
