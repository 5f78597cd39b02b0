"""Tunes on a Ray cluster, or continues a tuning that was ended: the tuner of ``kuberay/`` and ``ray_up/``.

All settings are environment variables, because a manifest can set these easily: ``RUN`` (name of the experiment),
``SYNETUNE_FOLDER`` (a folder that all nodes share), ``NUM_DEVICES``, ``DEVICES_OF`` and ``DEADLINE_S``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from syne_tune import Tuner
from syne_tune.results_callback import StoreResultsCallback

sys.path.insert(0, str(Path(__file__).resolve().parent))

from digits_search_space import CONFIG_SPACE, ENTRY_POINT, MAX_EPOCHS, METRIC, TIME_ATTR

from syne_hypersched import Deadline, ElasticRayBackend, HyperSched, Journal, resume_experiment

NAME = os.environ.get("RUN", "digits-on-ray")
NUM_DEVICES = int(os.environ.get("NUM_DEVICES", "8"))
DEADLINE_S = float(os.environ.get("DEADLINE_S", 4 * 3600))


def make_tuner() -> Tuner:
    backend = ElasticRayBackend(
        ENTRY_POINT,
        NUM_DEVICES,
        devices_of=os.environ.get("DEVICES_OF", "GPU"),
        autoscale=True,
        start_timeout_s=900.0,  # a machine in a cloud takes minutes to start
    )
    scheduler = HyperSched(
        CONFIG_SPACE,
        metric=METRIC,
        time_attr=TIME_ATTR,
        max_t=MAX_EPOCHS,
        num_devices=NUM_DEVICES,
        deadline_s=DEADLINE_S,
        do_minimize=False,
        random_seed=0,
    )
    return Tuner(
        trial_backend=backend,
        scheduler=scheduler,
        stop_criterion=Deadline(DEADLINE_S, trial_backend=backend),
        n_workers=NUM_DEVICES,
        tuner_name=NAME,
        suffix_tuner_name=False,
        callbacks=[StoreResultsCallback(), Journal()],
    )


if __name__ == "__main__":
    journal = Path(os.environ.get("SYNETUNE_FOLDER", "~/syne-tune")).expanduser() / NAME / "journal"
    if journal.is_dir():
        # The time without a cluster does not count against the deadline.
        resume_experiment(NAME, tuner=make_tuner(), time_passes="running")
    else:
        make_tuner().run()
