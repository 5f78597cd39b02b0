"""Costs are found again in runs in which they are known, and the simulation that is told of them has them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarking.studies.real_costs import RealCosts, measured_costs, predicted, with_costs
from syne_hypersched import ASHA, LaunchCost, simulate
from syne_hypersched.blackboxes import load_digits
from syne_hypersched.comparison.benchmarks import Benchmark

COSTS = RealCosts(wait_s=0.0, start_s=0.5, resume_s=0.25, factor=3.0, epoch_s=0.125)


def stored_run(path, deadline_s=40.0):
    table = load_digits()
    scheduler = ASHA(
        table.configuration_space, "val_accuracy", "epoch", max_t=81, type="promotion", do_minimize=False,
        grace_period=2, random_seed=0,
    )  # fmt: skip
    run = simulate(
        scheduler, with_costs(table, COSTS), num_devices=4, deadline_s=deadline_s, scaling="none",
        launch_cost=LaunchCost(COSTS.start_s, COSTS.resume_s), events_path=path / "events.jsonl",
    )  # fmt: skip
    run.save(path)
    return path


def test_the_costs_of_a_run_are_found_again(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    found = measured_costs([stored_run(path)], load_digits())
    assert found.wait_s == pytest.approx(0.0, abs=0.01)
    assert found.start_s == pytest.approx(COSTS.start_s, rel=0.05)
    assert found.resume_s == pytest.approx(COSTS.resume_s, rel=0.05)
    assert found.factor == pytest.approx(COSTS.factor, rel=0.1)
    assert found.epoch_s == pytest.approx(COSTS.epoch_s, rel=0.1)
    assert "a launch costs 0.50 s" in str(found)


def test_runs_that_have_reported_nothing_twice_are_refused():
    with pytest.raises(ValueError, match="trials that have reported twice"):
        measured_costs([], load_digits())


def test_every_epoch_of_the_table_takes_longer_and_the_values_stay():
    table = load_digits()
    real = with_costs(table, COSTS)
    for config in table.configurations[:3]:
        before, after = table.objective_function(config), real.objective_function(config)
        np.testing.assert_array_equal(before[:, :-1], after[:, :-1])
        np.testing.assert_allclose(after[:, -1], COSTS.factor * before[:, -1] + COSTS.epoch_s * np.arange(1, 82))


def test_a_prediction_has_a_row_for_each_run_and_fewer_trials_where_these_cost_more():
    benchmark = Benchmark("digits", load_digits(), "val_accuracy", do_minimize=False)
    dear = RealCosts(wait_s=5.0, start_s=2.0, resume_s=2.0, factor=1.0, epoch_s=0.0)
    cheap = RealCosts(wait_s=5.0, start_s=0.0, resume_s=0.0, factor=1.0, epoch_s=0.0)
    deadlines_s = {"4s": 4.0, "10s": 10.0}
    rows = {costs: predicted(benchmark, costs, ["asha:grace_period=2"], deadlines_s, 2, 4) for costs in (dear, cheap)}
    for found in rows.values():
        assert list(found.deadline) == ["10s", "10s"]  # at 4 s nothing has been launched
        assert list(found.seed) == [0, 1]
        assert found.value.between(0, 1).all()
    assert (rows[dear].num_trials < rows[cheap].num_trials).all()
