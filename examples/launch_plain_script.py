"""PASHA on a plain script for Syne Tune: trials pause at a rung, and promising trials continue from their checkpoints.

The script needs no change for a scheduler that pauses: Syne Tune's own checkpoint helpers are sufficient. Trials train
up to PASHA's cap, which rises only while the ranking of the best trials still changes.
"""

from __future__ import annotations

import logging
from pathlib import Path

from digits_search_space import make_parser, parse_args
from syne_tune import Tuner
from syne_tune.config_space import lograndint, loguniform, uniform
from syne_tune.results_callback import StoreResultsCallback

from syne_hypersched import PASHA, Deadline, ElasticLocalBackend
from syne_hypersched.experiments import LiveProgress, QuietTunerLogger
from syne_hypersched.experiments.report import report_run

ENTRY_POINT = Path(__file__).parent / "training_scripts" / "plain_script.py"
MAX_EPOCHS = 81
CONFIG_SPACE = {
    "learning_rate": loguniform(1e-3, 10.0),
    "momentum": uniform(0.0, 0.98),
    "num_hidden": lograndint(8, 64),
    "epochs": MAX_EPOCHS,
}


def main() -> None:
    args = parse_args(make_parser(__doc__))
    logging.getLogger().setLevel(logging.WARNING)
    print(f"Tuning {ENTRY_POINT.name} on {args.num_devices} CPU slots for {args.deadline:g} s.")

    backend = ElasticLocalBackend(ENTRY_POINT, num_devices=args.num_devices, device_type="cpu", processes="single")
    scheduler = PASHA(CONFIG_SPACE, metric="val_loss", time_attr="epoch", max_t=MAX_EPOCHS, random_seed=args.seed)
    tuner = Tuner(
        trial_backend=backend,
        scheduler=scheduler,
        stop_criterion=Deadline(args.deadline, trial_backend=backend),
        n_workers=args.num_devices,
        sleep_time=0.02,
        max_failures=10,
        tuner_name="plain-script",
        callbacks=[StoreResultsCallback(), LiveProgress()],
        output_logger=QuietTunerLogger(),
    )
    tuner.run()

    print()
    print(report_run(tuner.tuner_path))
    print(f"PASHA's cap rose to {scheduler.current_max_t} of {MAX_EPOCHS} epochs")


if __name__ == "__main__":
    main()
