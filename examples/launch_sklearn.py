"""HyperSched tunes a scikit-learn model by a deadline, without PyTorch.

``processes="single"`` starts one process for each trial. The process trains with one thread per CPU slot of the trial.
The speed-up is smaller than for a large network. The scheduler learns it.
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

ENTRY_POINT = Path(__file__).parent / "training_scripts" / "sklearn_partial_fit.py"
MAX_EPOCHS = 81
CONFIG_SPACE = {
    "learning_rate": loguniform(1e-3, 3.0),
    "power_t": uniform(0.0, 0.6),
    "alpha": loguniform(1e-8, 1e-2),
    "gamma": loguniform(1e-3, 0.3),
    "num_features": choice([250, 500, 1000]),
    "epochs": MAX_EPOCHS,
}


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--strategy", choices=("published", "adaptive"), default="adaptive", help="see HyperSched")
    args = parse_args(parser)
    logging.getLogger().setLevel(logging.WARNING)
    print(f"Tuning {ENTRY_POINT.name} on {args.num_devices} CPU slots for {args.deadline:g} s.")

    backend = ElasticLocalBackend(ENTRY_POINT, num_devices=args.num_devices, device_type="cpu", processes="single")
    scheduler = HyperSched(
        CONFIG_SPACE,
        metric="val_accuracy",
        time_attr="epoch",
        max_t=MAX_EPOCHS,
        num_devices=args.num_devices,
        deadline_s=args.deadline,
        do_minimize=False,
        strategy=args.strategy,
        random_seed=args.seed,
    )
    tuner = Tuner(
        trial_backend=backend,
        scheduler=scheduler,
        stop_criterion=Deadline(args.deadline, trial_backend=backend),
        n_workers=args.num_devices,
        sleep_time=0.02,
        max_failures=10,
        tuner_name="sklearn-digits",
        callbacks=[StoreResultsCallback(), LiveProgress()],
        output_logger=QuietTunerLogger(),
    )
    tuner.run()

    print()
    print(report_run(tuner.tuner_path))


if __name__ == "__main__":
    main()
