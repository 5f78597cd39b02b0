from __future__ import annotations

import json
import math

import pytest
from syne_tune.experiments import load_experiment

from syne_hypersched.comparison.benchmarks import load_benchmark
from syne_hypersched.comparison.runs import plan
from syne_hypersched.comparison.simulated import simulate_run
from syne_hypersched.experiments import load_run


def only_run(study):
    (run,) = plan(study)
    return run


def test_the_best_value_is_that_of_the_table(small_study):
    """Random search without launch cost, computed by hand: each trial trains to the end on its own device."""
    study = small_study(schedulers=("random",), launch_costs=("0%",), num_devices=(2,), deadlines=("40",), seeds=(5,))
    table = load_benchmark("table", study.table).table
    rows = load_benchmark("table", study.table).points(5, 2, 40.0, None)
    free_s, best, num_trials = [0.0, 0.0], math.inf, 0
    for row in rows:
        device = min((0, 1), key=lambda index: free_s[index])
        if free_s[device] >= 40:
            break
        curve, now_s = table.learning_curve(row), free_s[device]
        for report, epoch_s in zip(curve.reports, curve.epoch_s, strict=True):
            now_s += epoch_s
            if now_s <= 40:
                best = min(best, report["error"])
        num_trials += free_s[device] + curve.epoch_s[0] <= 40
        free_s[device] = now_s
    (reading,) = simulate_run(study, only_run(study)).readings
    assert reading.value == pytest.approx(best)
    assert reading.num_trials == num_trials
    assert 0.8 < reading.utilisation <= 1
    assert reading.regret == pytest.approx(load_benchmark("table", study.table).regret_scale(5).regret(best))


@pytest.mark.parametrize("scheduler", ["hypersched", "pasha", "syne-asha", "random", "tpe"])
def test_a_stored_run_is_an_experiment_of_syne_tune(small_study, tmp_path, scheduler):
    study = small_study(schedulers=(scheduler,), deadlines=("1x",), seeds=(0,))
    outcome = simulate_run(study, only_run(study), tmp_path / "the-run")
    experiment = load_experiment("the-run", local_path=str(tmp_path))
    assert len(experiment.results) == outcome.num_reports
    assert experiment.results.error.min() == pytest.approx(outcome.readings[0].value)
    assert experiment.results.trial_id.nunique() == outcome.readings[0].num_trials
    assert experiment.metadata["metric_names"] == ["error"]
    assert set(experiment.best_config()) >= {"config_lr", "config_width"}
    assert load_run(tmp_path / "the-run", "epoch").incumbent.value == pytest.approx(outcome.readings[0].value)


def test_the_metadata_do_not_list_the_table(small_study, tmp_path):
    study = small_study(schedulers=("asha",), deadlines=("1x",), seeds=(0,))
    simulate_run(study, only_run(study), tmp_path / "run")
    arguments = json.loads((tmp_path / "run" / "metadata.json").read_text())["scheduler_kwargs"]
    assert "points_to_evaluate" not in arguments
    assert arguments["grace_period"] == 1


@pytest.mark.parametrize("scheduler", ["hypersched", "asha", "syne-asha", "tpe", "asha+kde", "rea"])
def test_the_same_seed_gives_the_same_run(small_study, scheduler):
    study = small_study(schedulers=(scheduler,), deadlines=("1x",), seeds=(2,))
    first, second = (simulate_run(study, only_run(study)) for _ in range(2))
    assert (first.readings, first.times_s, first.values) == (second.readings, second.times_s, second.values)


def test_schedulers_start_with_the_same_configurations(small_study, tmp_path):
    study = small_study(
        schedulers=("hypersched", "asha", "pasha", "syne-asha", "random"), deadlines=("1x",), seeds=(1,)
    )
    first_configs = []
    for run in plan(study):
        simulate_run(study, run, tmp_path / run.name)
        configs = load_run(tmp_path / run.name, "epoch").configs
        first_configs.append([configs[trial_id] for trial_id in range(4)])
    assert all(configs == first_configs[0] for configs in first_configs)


def test_a_run_ends_when_one_more_trial_would_start(small_study):
    study = small_study(schedulers=("asha",), deadlines=("100x",), seeds=(0,), max_num_trials=11, num_devices=(2,))
    # The last trial has started, and may not have reported when the next one would start.
    assert simulate_run(study, only_run(study)).readings[0].num_trials in (10, 11)


def test_a_table_of_speed_ups_is_used(small_study):
    def trained(scaling):
        study = small_study(
            schedulers=("hypersched-published:policy=top_job:recharge_period=0:speculation=false",),
            scalings=(scaling,),
            deadlines=("2x",),
            seeds=(0,),
        )
        return simulate_run(study, only_run(study)).num_reports

    assert trained("1:1,4:4") > trained("none")


def test_later_launches_that_cost_less_leave_more_time_to_train(small_study):
    """PASHA pauses and resumes its trials. It makes no difference to a scheduler that never does."""
    reports = {
        (scheduler, cost): simulate_run(study, only_run(study)).num_reports
        for scheduler in ("pasha", "random")
        for cost in ("10%", "10%+10%", "10%+0%")
        for study in [small_study(schedulers=(scheduler,), launch_costs=(cost,), deadlines=("4x",), seeds=(0,))]
    }
    assert reports["pasha", "10%"] == reports["pasha", "10%+10%"] < reports["pasha", "10%+0%"]
    assert reports["random", "10%"] == reports["random", "10%+0%"]
