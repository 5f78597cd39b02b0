"""The tuner of ``tune.sbatch``: starts a tuning on the job's Ray cluster, or continues one that Slurm has ended."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from syne_tune import Tuner
from syne_tune.results_callback import StoreResultsCallback

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from digits_search_space import CONFIG_SPACE, ENTRY_POINT, MAX_EPOCHS, METRIC, TIME_ATTR

from syne_hypersched import Deadline, ElasticRayBackend, HyperSched, Journal, resume_experiment

NAME = f"slurm-{os.environ.get('SLURM_JOB_ID', 'test')}"
DEADLINE_S = float(os.environ.get("DEADLINE_S", 4 * 3600))


def make_tuner() -> Tuner:
    backend = ElasticRayBackend(
        ENTRY_POINT,
        int(os.environ["NUM_DEVICES"]),
        address=os.environ["HEAD_ADDRESS"],
        devices_of=os.environ["DEVICES_OF"],
        start_timeout_s=300.0,  # nodes of an allocation start at different moments
    )
    scheduler = HyperSched(
        CONFIG_SPACE,
        metric=METRIC,
        time_attr=TIME_ATTR,
        max_t=MAX_EPOCHS,
        num_devices=backend.num_devices,
        deadline_s=DEADLINE_S,
        do_minimize=False,
        random_seed=0,
    )
    return Tuner(
        trial_backend=backend,
        scheduler=scheduler,
        stop_criterion=Deadline(DEADLINE_S, trial_backend=backend),
        n_workers=backend.num_devices,
        tuner_name=NAME,
        suffix_tuner_name=False,
        callbacks=[StoreResultsCallback(), Journal()],
    )


if __name__ == "__main__":
    journal = Path(os.environ.get("SYNETUNE_FOLDER", "~/syne-tune")).expanduser() / NAME / "journal"
    if journal.is_dir():
        # The time in the queue does not count against the deadline.
        resume_experiment(NAME, tuner=make_tuner(), time_passes="running")
    else:
        make_tuner().run()
