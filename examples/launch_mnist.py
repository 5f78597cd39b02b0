"""HyperSched tunes a small convolutional network on MNIST or Fashion-MNIST by a deadline.

Run ``python launch_mnist.py --data-dir FOLDER``. FOLDER has the IDX files (see ``training_scripts/mnist.py``). On a few
cores, an epoch of all images takes too long for a deadline of minutes, so by default trials use only some images. With
``--policy goodput --batch-mode goodput`` the batch grows with the devices as long as this increases the progress.
"""

from __future__ import annotations

from syne_tune.config_space import choice, loguniform, uniform
from tune_images import batch_space, make_parser, tune

MAX_EPOCHS = 81


def main() -> None:
    parser = make_parser(__doc__, deadline_s=120.0)
    parser.add_argument("--num-train", type=int, default=5000, help="images to train on (default %(default)s)")
    parser.add_argument("--num-val", type=int, default=2000, help="images to validate on (default %(default)s)")
    args = parser.parse_args()
    if args.data_dir is None:
        parser.error("--data-dir is needed: the folder of the IDX files")
    config_space = {
        "learning_rate": loguniform(1e-3, 0.3),
        "momentum": uniform(0.5, 0.97),
        "weight_decay": loguniform(1e-6, 1e-2),
        "width": choice([4, 8, 12]),
        "dropout": uniform(0.0, 0.5),
        **batch_space(args, choice([64, 128, 256]), max_batch_size=1024),
        "num_train": args.num_train,
        "num_val": args.num_val,
        "epochs": MAX_EPOCHS,
    }
    tune("mnist.py", config_space, MAX_EPOCHS, args)


if __name__ == "__main__":
    main()
