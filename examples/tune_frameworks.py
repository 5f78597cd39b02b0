"""Common parts of the launch scripts for other frameworks: HyperSched with a deadline, on CPU slots or GPUs."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from digits_search_space import make_parser, parse_args
from syne_tune import Tuner
from syne_tune.results_callback import StoreResultsCallback

from syne_hypersched import Deadline, ElasticLocalBackend, HyperSched
from syne_hypersched.experiments import LiveProgress, QuietTunerLogger
from syne_hypersched.experiments.report import report_run

TRAINING_SCRIPTS = Path(__file__).parent / "training_scripts"


def tune(
    description: str,
    script: str,
    config_space: dict[str, Any],
    *,
    metric: str,
    max_t: int,
    time_attr: str = "epoch",
    do_minimize: bool = True,
    **options: Any,
) -> None:
    """Tunes a training script until a deadline, and prints the results; ``options`` are those of the backend."""
    args = parse_args(make_parser(description))
    # Also for the server of warm launches, which preloads a module of this folder.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(TRAINING_SCRIPTS), os.environ.get("PYTHONPATH"))))
    logging.getLogger().setLevel(logging.WARNING)
    print(f"Tuning {script} on {args.num_devices} CPU slots for {args.deadline:g} s.")
    backend = ElasticLocalBackend(
        TRAINING_SCRIPTS / script, num_devices=args.num_devices, device_type="cpu", grace_s=10.0, **options
    )
    scheduler = HyperSched(
        config_space, metric=metric, time_attr=time_attr, max_t=max_t, num_devices=args.num_devices,
        deadline_s=args.deadline, do_minimize=do_minimize, strategy="published", random_seed=args.seed,
    )  # fmt: skip
    tuner = Tuner(
        backend, scheduler, Deadline(args.deadline, trial_backend=backend), n_workers=args.num_devices,
        sleep_time=0.05, max_failures=10, tuner_name=Path(script).stem.replace("_", "-"),
        callbacks=[StoreResultsCallback(), LiveProgress()], output_logger=QuietTunerLogger(),
    )  # fmt: skip
    tuner.run()
    print()
    print(report_run(tuner.tuner_path))
