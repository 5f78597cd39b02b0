"""HyperSched on MNIST with the policy ``goodput`` and with ``uniform``: real training, until a deadline.

    python benchmarking/studies/goodput_mnist.py --deadline 90 --seeds 3

With ``goodput`` a trial also chooses its batch (``batch_mode="goodput"``) from the measured step times and the noise
scale of its gradients. ``uniform`` has the fixed batch of the configuration, and a third arm has the policy ``goodput``
with fixed batches. The arms run in turn, so that other work on the machine affects all of them. For each run, the table
shows the best validation accuracy at the deadline, the trials, the resizes, and the device-seconds lost to launches and
drains.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from syne_tune import Tuner
from syne_tune.config_space import choice, loguniform, uniform
from syne_tune.results_callback import StoreResultsCallback

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from syne_hypersched import Deadline, ElasticLocalBackend, HyperSched
from syne_hypersched.comparison.shared_tables import data_folder
from syne_hypersched.experiments import QuietTunerLogger, check_run, load_run, trial_table

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "training_scripts" / "mnist.py"
MAX_EPOCHS = 81
#: Name of an arm: policy of the scheduler and batch mode of the script.
ARMS = {
    "uniform": ("uniform", "fixed"),
    "goodput, fixed batch": ("goodput", "fixed"),
    "goodput": ("goodput", "goodput"),
}


@dataclass(frozen=True)
class Result:
    """The results of one run."""

    accuracy: float
    num_trials: int
    num_resizes: int
    lost_s: float
    """Device-seconds between a signal and training, over all launches."""
    largest_batch: int


def tune(
    arm: str, folder: Path, data_dir: Path, deadline_s: float, num_devices: int, num_train: int, seed: int
) -> Result:
    """One run in real time."""
    policy, batch_mode = ARMS[arm]
    space = {
        "learning_rate": loguniform(1e-3, 0.3),
        "momentum": uniform(0.5, 0.97),
        "weight_decay": loguniform(1e-6, 1e-2),
        "width": choice([4, 8, 12]),
        "dropout": uniform(0.0, 0.5),
        "batch_size": choice([64, 128, 256]),
        "batch_mode": batch_mode,
        **({"max_batch_size": 1024} if batch_mode == "goodput" else {}),
        "num_train": num_train,
        "num_val": 2000,
        "epochs": MAX_EPOCHS,
        "data_dir": str(data_dir),
    }
    backend = ElasticLocalBackend(SCRIPT, num_devices=num_devices, device_type="cpu")
    scheduler = HyperSched(
        space,
        metric="val_accuracy",
        time_attr="epoch",
        max_t=MAX_EPOCHS,
        num_devices=num_devices,
        deadline_s=deadline_s,
        do_minimize=False,
        policy=policy,
        strategy="published",
        random_seed=seed,
    )
    tuner = Tuner(
        trial_backend=backend,
        scheduler=scheduler,
        stop_criterion=Deadline(deadline_s, trial_backend=backend),
        n_workers=num_devices,
        sleep_time=0.05,
        max_failures=10,
        tuner_name=f"{arm.replace(', ', '-').replace(' ', '-')}-{seed}",
        callbacks=[StoreResultsCallback()],
        output_logger=QuietTunerLogger(),
    )
    with contextlib.redirect_stdout(io.StringIO()):  # the tuner's output for each run
        tuner.run()
    run = load_run(tuner.tuner_path)
    if faults := check_run(run, step=1):
        raise RuntimeError(f"the run has broken a rule: {faults}")
    table = trial_table(run)
    return Result(
        accuracy=max((trial.best for trial in table if trial.best is not None), default=float("nan")),
        num_trials=len(table),
        num_resizes=sum(event.event == "resize" for event in run.events),
        lost_s=sum(trial.launch_cost_s or 0.0 for trial in table),
        largest_batch=int(pd.read_csv(tuner.tuner_path / "results.csv.zip")["batch_size"].max()),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=data_folder() / "mnist", help="folder of the IDX files")
    parser.add_argument("--deadline", type=float, default=90.0, help="seconds (default %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each arm (default %(default)s)")
    parser.add_argument("--num-devices", type=int, default=len(os.sched_getaffinity(0)), help="CPU slots")
    parser.add_argument("--num-train", type=int, default=10_000, help="images to train on (default %(default)s)")
    args = parser.parse_args(arguments)
    if not args.data_dir.is_dir():
        parser.error(f"--data-dir must be the folder of the IDX files, but there is no {args.data_dir}")
    results: dict[str, list[Result]] = {arm: [] for arm in ARMS}
    header = f"{'arm':<24}{'seed':>5}{'accuracy':>10}{'trials':>8}{'resizes':>9}{'lost s':>8}{'largest batch':>15}"
    print(f"MNIST, {args.num_train} images, {args.num_devices} CPU slots, {args.deadline:g} s\n{header}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SYNETUNE_FOLDER"] = folder
        for seed in range(args.seeds):
            for arm in ARMS:
                result = tune(
                    arm, Path(folder), args.data_dir.resolve(), args.deadline, args.num_devices, args.num_train, seed
                )
                results[arm].append(result)
                print(
                    f"{arm:<24}{seed:>5}{result.accuracy:>10.4f}{result.num_trials:>8}{result.num_resizes:>9}"
                    f"{result.lost_s:>8.1f}{result.largest_batch:>15}",
                    flush=True,
                )
    print(f"\n{'arm':<24}{'mean accuracy':>14}{'less uniform':>14}{'mean lost s':>13}")
    for arm, of_arm in results.items():
        mean = statistics.mean(result.accuracy for result in of_arm)
        gain = mean - statistics.mean(result.accuracy for result in results["uniform"])
        lost_s = statistics.mean(result.lost_s for result in of_arm)
        print(f"{arm:<24}{mean:>14.4f}{gain:>+14.4f}{lost_s:>13.1f}")


if __name__ == "__main__":
    main()
