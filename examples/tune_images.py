"""The common parts of the launch scripts for images: their arguments, and HyperSched on this machine's devices."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path
from typing import Any

from syne_tune import Tuner
from syne_tune.results_callback import StoreResultsCallback

from syne_hypersched import Deadline, ElasticLocalBackend, HyperSched
from syne_hypersched.experiments import LiveProgress, QuietTunerLogger
from syne_hypersched.experiments.report import report_run

TRAINING_SCRIPTS = Path(__file__).parent / "training_scripts"


def make_parser(description: str, deadline_s: float) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument(
        "--deadline", type=float, default=deadline_s, help="deadline of the tuning in seconds (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the scheduler (default 0)")
    parser.add_argument(
        "--num-devices", type=int, help="devices that trials share (default: all GPUs, otherwise one CPU slot per core)"
    )
    parser.add_argument("--output", help="folder for the results (default: Syne Tune's own, ~/syne-tune)")
    parser.add_argument("--data-dir", help="folder of the data, see the training script")
    parser.add_argument("--policy", choices=("uniform", "goodput", "top_job", "none"), default="uniform")
    parser.add_argument("--strategy", choices=("published", "adaptive"), default="adaptive", help="see HyperSched")
    parser.add_argument(
        "--batch-mode",
        choices=("fixed", "weak", "goodput"),
        default="fixed",
        help="how the batch of a trial changes on more devices",
    )
    return parser


def batch_space(args: argparse.Namespace, batch_sizes: Any, max_batch_size: int) -> dict[str, Any]:
    """The part of the search space that concerns batches."""
    space = {"batch_size": batch_sizes, "batch_mode": args.batch_mode}
    return space | {"max_batch_size": max_batch_size} if args.batch_mode == "goodput" else space


def preload_torchvision() -> tuple[str, ...]:
    """Modules to preload for a script that imports ``_torchvision.py``; lets the server of launches find it."""
    paths = [str(TRAINING_SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    return ("syne_tune", "torch", "torch._dynamo", "_torchvision", "syne_hypersched.training")


def tune(
    script: str,
    config_space: dict[str, Any],
    max_t: int,
    args: argparse.Namespace,
    grace_period: int | None = None,
    preload: tuple[str, ...] | None = None,
) -> None:
    """Tunes a training script for the highest ``val_accuracy`` at the deadline, and prints the results."""
    if args.output is not None:
        # Syne Tune reads the folder of its experiments only from this variable.
        os.environ["SYNETUNE_FOLDER"] = str(Path(args.output).resolve())
    logging.getLogger().setLevel(logging.WARNING)
    if args.data_dir is not None:
        # Each trial runs in its own folder.
        config_space = {**config_space, "data_dir": str(Path(args.data_dir).resolve())}
    backend = ElasticLocalBackend(TRAINING_SCRIPTS / script, num_devices=args.num_devices, preload=preload)
    print(f"Tuning {script} on {', '.join(backend.devices.names)} for {args.deadline:g} s.")
    scheduler = HyperSched(
        config_space,
        metric="val_accuracy",
        time_attr="epoch",
        max_t=max_t,
        num_devices=backend.num_devices,
        deadline_s=args.deadline,
        do_minimize=False,
        policy=args.policy,
        grace_period=grace_period,
        strategy=args.strategy,
        random_seed=args.seed,
    )
    tuner = Tuner(
        trial_backend=backend,
        scheduler=scheduler,
        stop_criterion=Deadline(args.deadline, trial_backend=backend),
        n_workers=backend.num_devices,
        sleep_time=0.05,
        max_failures=10,
        tuner_name=f"hypersched-{Path(script).stem}",
        callbacks=[StoreResultsCallback(), LiveProgress()],
        output_logger=QuietTunerLogger(),
    )
    tuner.run()
    print()
    print(report_run(tuner.tuner_path))
