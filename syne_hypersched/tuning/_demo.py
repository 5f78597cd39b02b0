"""The demo: a tuning of a script that is part of the package."""

from __future__ import annotations

import os
from pathlib import Path

from syne_hypersched.tuning._job import TuneJob, parse_devices
from syne_hypersched.tuning._space import parse_space

MAX_EPOCHS = 81

_SPACE = (
    "learning_rate=log(1e-3,1)",
    "momentum=uniform(0,0.97)",
    "weight_decay=log(1e-6,1e-2)",
    "width=[16,32,64,128,256]",
    "batch_size=[32,64,128,256]",
    f"epochs={MAX_EPOCHS}",
)


def demo_script() -> Path:
    """The training script of the demo."""
    return Path(__file__).parent / "scripts" / "digits_mlp.py"


def demo_job(deadline_s: float, devices: str | None = None, seed: int | None = None) -> TuneJob:
    """The tuning of the demo.

    Parameters
    ----------
    deadline_s
        Seconds until the end of the tuning.
    devices
        Number or type of the devices, such as ``"4"`` or ``"cpu:2"``. Default: one CPU slot for each core, and at least
        two.
    seed
        Seed of the scheduler.
    """
    kind, count = parse_devices(f"cpu:{max(2, len(os.sched_getaffinity(0)))}" if devices is None else devices)
    return TuneJob(
        script=demo_script(),
        space=parse_space(_SPACE),
        metric="val_accuracy",
        do_minimize=False,
        time_attr="epoch",
        max_t=MAX_EPOCHS,
        deadline_s=deadline_s,
        device_type=kind,
        num_devices=count,
        processes="single",
        seed=seed,
    )
