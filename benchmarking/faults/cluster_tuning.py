"""The tuning that ``cluster_chaos.py`` disturbs: restless ASHA on a Ray cluster, with a journal.

python benchmarking/faults/cluster_tuning.py --address 10.87.0.10:6379 --folder /tmp/x --seconds 60 --num-devices 4
python benchmarking/faults/cluster_tuning.py ... --resume
"""

from __future__ import annotations

import argparse
import faulthandler
import signal
import sys
from pathlib import Path
from typing import Any

from syne_tune import Tuner
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import uniform
from syne_tune.optimizer.scheduler import SchedulerDecision

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from syne_hypersched import ASHA, Deadline, ElasticRayBackend, Journal, resume_experiment
from syne_hypersched.contract import is_elastic

SCRIPT = Path(__file__).with_name("cluster_script.py")
NAME = "cluster-chaos"


class Restless(ASHA):
    """Resizes a trial at every fourth report."""

    def on_trial_result(self, trial: Trial, result: dict[str, Any]) -> str:
        decision: str = super().on_trial_result(trial=trial, result=result)
        if decision == SchedulerDecision.CONTINUE and is_elastic(trial) and (trial.trial_id + result["epoch"]) % 8 == 0:
            trial.resize(1 + (trial.num_devices + 1) % 3)
        return decision


def make_tuner(args: argparse.Namespace) -> Tuner:
    watch = args.folder / "watch"
    watch.mkdir(parents=True, exist_ok=True)
    space = {"x": uniform(0, 1), "epochs": 81, "slots": args.slots, "watch": str(watch)}
    scheduler = Restless(space, "loss", "epoch", max_t=81, type="promotion", grace_period=9, random_seed=1)
    backend = ElasticRayBackend(
        SCRIPT, args.num_devices, address=args.address, devices_of="slot", insecure=True, lease_s=args.lease_s,
        grace_s=1.0, retries=5, start_timeout_s=300, min_free_mb=5, max_memory=args.max_memory,
        node_path=args.folder / "disks" if args.copied else None,
    )  # fmt: skip
    return Tuner(
        backend, scheduler, Deadline(args.seconds), n_workers=max(1, args.num_devices // 2), tuner_name=NAME,
        suffix_tuner_name=False, sleep_time=0.1, callbacks=[Journal(snapshot_interval_s=5)], save_tuner=False,
        results_update_interval=2,
    )  # fmt: skip


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)  # prints what all threads are doing
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--num-devices", type=int, default=4)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--lease-s", type=float, default=3.0)
    parser.add_argument("--max-memory", type=float, default=0.92, help="share of the memory of nodes that may be used")
    parser.add_argument("--copied", action="store_true", help="checkpoints are on the disks of nodes")
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    if args.resume:
        resume_experiment(NAME, tuner=make_tuner(args))
    else:
        make_tuner(args).run()
