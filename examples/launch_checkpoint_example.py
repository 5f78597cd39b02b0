"""HyperSched on a training script that was written for Syne Tune and does not use devices.

``processes="single"`` starts one process for each trial, on any number of devices. The script could read the number of
devices from ``ST_NUM_DEVICES``, but it need not use more than one.
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

from syne_tune import Tuner
from syne_tune.config_space import loguniform
from syne_tune.results_callback import StoreResultsCallback

from syne_hypersched import Deadline, ElasticLocalBackend, HyperSched
from syne_hypersched.experiments import LiveProgress, QuietTunerLogger
from syne_hypersched.experiments.report import report_run

ENTRY_POINT = Path(__file__).parent / "training_scripts" / "checkpoint_example.py"
NUM_EPOCHS = 81


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deadline", type=float, default=20.0, help="deadline of the tuning in seconds (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scheduler (default 0)")
    parser.add_argument("--num-devices", type=int, default=4, help="CPU slots that trials share (default 4)")
    parser.add_argument("--output", help="folder for the results (default: Syne Tune's own, ~/syne-tune)")
    args = parser.parse_args()
    if args.output is not None:
        os.environ["SYNETUNE_FOLDER"] = str(Path(args.output).resolve())
    logging.getLogger().setLevel(logging.WARNING)

    backend = ElasticLocalBackend(ENTRY_POINT, num_devices=args.num_devices, device_type="cpu", processes="single")
    scheduler = HyperSched(
        {"learning_rate": loguniform(1e-5, 1.0), "num_epochs": NUM_EPOCHS, "sleep_time": 0.2},
        metric="loss",
        time_attr="epoch",
        max_t=NUM_EPOCHS,
        num_devices=args.num_devices,
        deadline_s=args.deadline,
        strategy="published",
        random_seed=args.seed,
    )
    tuner = Tuner(
        trial_backend=backend,
        scheduler=scheduler,
        stop_criterion=Deadline(args.deadline, trial_backend=backend),
        n_workers=args.num_devices,
        sleep_time=0.05,
        tuner_name="checkpoint-example",
        callbacks=[StoreResultsCallback(), LiveProgress()],
        output_logger=QuietTunerLogger(),
    )
    tuner.run()

    print()
    print(report_run(tuner.tuner_path))


if __name__ == "__main__":
    main()
