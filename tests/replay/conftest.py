from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from syne_hypersched import ASHA, PASHA, HyperSched, LaunchCost, simulate
from syne_hypersched.blackboxes import load_digits

NUM_DEVICES, DEADLINE_S = 4, 3.0


@pytest.fixture(scope="session")
def make_simulated(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Searches the measured learning curves of the package in virtual time, and stores the run."""

    def make(name: str, deadline_s: float = DEADLINE_S) -> Path:
        path = tmp_path_factory.mktemp("run")
        table = load_digits()
        named = {"metric": "val_accuracy", "time_attr": "epoch", "max_t": 81, "do_minimize": False, "random_seed": 1}
        space = table.configuration_space
        if name == "hypersched":
            scheduler = HyperSched(space, num_devices=NUM_DEVICES, deadline_s=deadline_s, **named)
        elif name == "asha":
            scheduler = ASHA(space, type="stopping", **named)
        else:
            scheduler = PASHA(space, **named)
        run = simulate(
            scheduler,
            table,
            num_devices=NUM_DEVICES,
            deadline_s=deadline_s,
            scaling="none",
            launch_cost=LaunchCost(start_s=0.02),
            events_path=path / "events.jsonl",
        )
        run.save(path)
        return path

    return make


@pytest.fixture(scope="session")
def asha_run(make_simulated) -> Path:
    return make_simulated("asha", deadline_s=8.0)
