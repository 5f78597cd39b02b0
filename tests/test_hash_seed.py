"""Decisions do not depend on ``PYTHONHASHSEED``, which changes the order of sets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCHEDULE = """
from syne_tune.config_space import choice, randint, uniform
from syne_hypersched import schedulers
from tests.schedulers.asha.reference_asha import History, Run

space = {"x": uniform(0, 1), "n": randint(1, 5), "letter": choice(["a", "b", "c"])}
points = [{"letter": "b", "n": 2, "x": 0.5}]
for name, kwargs in [("ASHA", {"type": "stopping"}), ("ASHA", {"type": "promotion", "brackets": 2}), ("PASHA", {})]:
    scheduler = getattr(schedulers, name)(
        space, "loss", "epoch", max_t=27, searcher="kde", points_to_evaluate=points, random_seed=1, **kwargs
    )
    history = History(seed=7, num_workers=4, num_events=200)
    run = Run(scheduler, history)
    for event in history.events():
        run.step(event)
    print(name, run.log, scheduler.metadata())
"""


@pytest.mark.slow
def test_schedules_do_not_depend_on_the_hash_seed() -> None:
    printed = {}
    for hash_seed in ("0", "1", "4242"):
        printed[hash_seed] = subprocess.run(
            [sys.executable, "-c", SCHEDULE],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            cwd=Path(__file__).parents[1],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    assert "resume" in printed["0"]
    assert printed["0"] == printed["1"] == printed["4242"]
