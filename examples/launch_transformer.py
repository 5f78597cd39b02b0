"""HyperSched tunes a small transformer language model by a deadline, on the cores of this machine.

With ``--shard`` the model of a trial is sharded over its devices (FSDP), and sharded again after each resize.
"""

from __future__ import annotations

import logging
from pathlib import Path

from digits_search_space import make_parser, parse_args
from syne_tune import Tuner
from syne_tune.config_space import choice, loguniform, uniform
from syne_tune.results_callback import StoreResultsCallback

from syne_hypersched import Deadline, ElasticLocalBackend, HyperSched
from syne_hypersched.experiments import LiveProgress, QuietTunerLogger
from syne_hypersched.experiments.report import report_run

ENTRY_POINT = Path(__file__).parent / "training_scripts" / "transformer_lm.py"
MAX_EPOCHS = 27
CONFIG_SPACE = {
    "learning_rate": loguniform(3e-4, 3e-2),
    "weight_decay": loguniform(1e-3, 1.0),
    "warmup_share": uniform(0.0, 0.2),
    "dropout": uniform(0.0, 0.3),
    "batch_size": choice([16, 32, 64]),
    "context": 64,
    "epochs": MAX_EPOCHS,
}


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--text", type=Path, help="file to learn (default: Python's language reference)")
    parser.add_argument("--num-characters", type=int, default=50_000, help="how much of the text (default 50,000)")
    parser.add_argument("--width", type=int, default=64, help="width of the model, a multiple of 4 (default 64)")
    parser.add_argument("--shard", action="store_true", help="shard models over their devices")
    parser.add_argument("--strategy", choices=("published", "adaptive"), default="adaptive", help="see HyperSched")
    args = parse_args(parser)
    logging.getLogger().setLevel(logging.WARNING)
    print(f"Tuning {ENTRY_POINT.name} on {args.num_devices} CPU slots for {args.deadline:g} s.")

    config_space = CONFIG_SPACE | {
        "num_characters": args.num_characters,
        "width": args.width,
        "shard": int(args.shard),
    }
    if args.text is not None:
        config_space["text"] = str(args.text.resolve())
    backend = ElasticLocalBackend(ENTRY_POINT, num_devices=args.num_devices, device_type="cpu")
    scheduler = HyperSched(
        config_space,
        metric="val_loss",
        time_attr="epoch",
        max_t=MAX_EPOCHS,
        num_devices=args.num_devices,
        deadline_s=args.deadline,
        strategy=args.strategy,
        random_seed=args.seed,
    )
    tuner = Tuner(
        trial_backend=backend,
        scheduler=scheduler,
        stop_criterion=Deadline(args.deadline, trial_backend=backend),
        n_workers=args.num_devices,
        sleep_time=0.05,
        tuner_name="transformer-lm",
        callbacks=[StoreResultsCallback(), LiveProgress()],
        output_logger=QuietTunerLogger(),
    )
    tuner.run()

    print()
    print(report_run(tuner.tuner_path))


if __name__ == "__main__":
    main()
