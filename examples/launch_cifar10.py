"""HyperSched tunes a ResNet or ShuffleNet on CIFAR-10 by a deadline, as in the published experiment.

On a machine with GPUs, run ``python launch_cifar10.py --data-dir FOLDER --network resnet50 --deadline 1800``. FOLDER
has the files of ``cifar-10-python.tar.gz``. ``--fake-data 500 --network shufflenet_v2_x0_5`` needs no data and no GPUs.
"""

from __future__ import annotations

from syne_tune.config_space import choice, loguniform, uniform
from tune_images import batch_space, make_parser, preload_torchvision, tune

MAX_EPOCHS = 100


def main() -> None:
    parser = make_parser(__doc__, deadline_s=1800.0)
    parser.add_argument("--network", default="resnet18", help="see the training script (default %(default)s)")
    parser.add_argument("--fake-data", type=int, metavar="N", help="N images of noise instead of --data-dir")
    parser.add_argument("--num-workers", type=int, default=0, help="processes that augment images, for each device")
    args = parser.parse_args()
    if (args.data_dir is None) == (args.fake_data is None):
        parser.error("one of --data-dir and --fake-data is needed")
    config_space = {
        "learning_rate": loguniform(1e-3, 1.0),
        "momentum": uniform(0.8, 0.97),
        "weight_decay": loguniform(1e-5, 1e-2),
        "label_smoothing": choice([0.0, 0.1]),
        "ema_decay": choice([0.0, 0.99, 0.999]),
        **batch_space(args, choice([128, 256]), max_batch_size=2048),
        "network": args.network,
        "num_workers": args.num_workers,
        "epochs": MAX_EPOCHS,
    }
    if args.fake_data is not None:
        config_space["fake_data"] = args.fake_data
    tune("cifar10.py", config_space, MAX_EPOCHS, args, preload=preload_torchvision())


if __name__ == "__main__":
    main()
