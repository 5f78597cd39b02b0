from __future__ import annotations

import json

from syne_hypersched.comparison.runs import RunOutcome, plan
from syne_hypersched.comparison.simulated import simulate_run


def test_only_a_scheduler_that_knows_the_deadline_is_run_once_for_each(small_study):
    runs = plan(small_study(deadlines=("1x", "0.25x", "2x"), seeds=(0,)))
    assert [run.name for run in runs] == [
        "hypersched-0_25x-seed0",
        "hypersched-1x-seed0",
        "hypersched-2x-seed0",
        "asha-seed0",
        "random-seed0",
    ]
    assert [str(deadline) for deadline in runs[-1].deadlines] == ["0.25x", "1x", "2x"]


def test_deadlines_in_different_units_are_in_the_order_of_their_seconds(small_study):
    # A median full run takes about 18 s.
    (run,) = plan(small_study(schedulers=("asha",), deadlines=("1x", "10", "1m", "0.1x"), seeds=(0,)))
    assert [str(deadline) for deadline in run.deadlines] == ["0.1x", "10s", "1x", "60s"]


def test_a_reading_at_a_deadline_is_that_of_a_run_which_ends_there(small_study):
    for scheduler in ("asha", "asha-promotion", "pasha", "random"):
        long = plan(small_study(schedulers=(scheduler,), seeds=(3,)))[0]
        short = plan(small_study(schedulers=(scheduler,), seeds=(3,), deadlines=("0.5x",)))[0]
        study = small_study(schedulers=(scheduler,))
        assert simulate_run(study, long).readings[0] == simulate_run(study, short).readings[0], scheduler


def test_outcomes_survive_json(small_study):
    study = small_study()
    for run in plan(study):
        outcome = simulate_run(study, run)
        stored = json.loads(json.dumps(outcome.as_json(), allow_nan=False))
        assert RunOutcome.from_json(stored) == outcome
