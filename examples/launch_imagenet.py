"""HyperSched tunes ResNet-50 on a folder of images like ImageNet's by a deadline, with a report every k steps.

On a machine with GPUs, run ``python launch_imagenet.py --data-dir FOLDER --deadline 86400 --num-workers 8``. The
scheduler counts rounds of ``--num-steps`` batches, not epochs. ``training_scripts/imagenet.py`` explains how to choose
rounds and the lowest rung. With the defaults and ImageNet's 1.28 million images, a round is a tenth of an epoch, the
first rung is at 0.6 epochs, and a trial ends after 10 epochs.
"""

from __future__ import annotations

from syne_tune.config_space import choice, loguniform, uniform
from tune_images import batch_space, make_parser, preload_torchvision, tune


def main() -> None:
    parser = make_parser(__doc__, deadline_s=86_400.0)
    parser.add_argument("--network", default="resnet50", help="any network of torchvision (default %(default)s)")
    parser.add_argument("--image-size", type=int, default=224, help="default %(default)s")
    parser.add_argument("--batch-size", type=int, default=256, help="images in a step (default %(default)s)")
    parser.add_argument("--num-steps", type=int, default=500, help="batches in a round (default %(default)s)")
    parser.add_argument("--num-rounds", type=int, default=100, help="rounds of a whole training (default %(default)s)")
    parser.add_argument("--grace-period", type=int, help="rounds until the first rung (default: 1/16 of all rounds)")
    parser.add_argument("--num-val", type=int, help="images in a validation (default: all)")
    parser.add_argument("--num-workers", type=int, default=4, help="processes that read images, for each device")
    args = parser.parse_args()
    if args.data_dir is None:
        parser.error("--data-dir is needed: the folder with train and val in it")
    grace_period = max(1, args.num_rounds // 16) if args.grace_period is None else args.grace_period
    config_space = {
        "learning_rate": loguniform(1e-2, 1.0),
        "momentum": uniform(0.8, 0.97),
        "weight_decay": loguniform(1e-6, 1e-3),
        "label_smoothing": choice([0.0, 0.1]),
        **batch_space(args, args.batch_size, max_batch_size=16 * args.batch_size),
        "network": args.network,
        "image_size": args.image_size,
        "num_steps": args.num_steps,
        "num_rounds": args.num_rounds,
        "warmup_rounds": max(0, grace_period - 1),
        "num_workers": args.num_workers,
        "checkpoint_every_s": 300,
    }
    if args.num_val is not None:
        config_space["num_val"] = args.num_val
    tune("imagenet.py", config_space, args.num_rounds, args, grace_period, preload_torchvision())


if __name__ == "__main__":
    main()
