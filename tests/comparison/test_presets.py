from __future__ import annotations

from dataclasses import replace

import pytest

from syne_hypersched.comparison.presets import ABLATION_ARMS, POOLS, PRESETS, SENSITIVE_OPTIONS, make_study
from syne_hypersched.comparison.runner import run_study
from syne_hypersched.comparison.schedulers import SchedulerSpec, make_scheduler
from syne_hypersched.comparison.tables import results_table
from syne_hypersched.comparison.text import describe
from tests.comparison.test_schedulers import PROBLEM


@pytest.mark.parametrize("name", PRESETS)
def test_every_scheduler_of_a_preset_can_be_made(name):
    study = make_study(name)
    for scheduler in {scheduler for scenario in study.scenarios for scheduler in scenario.schedulers}:
        make_scheduler(SchedulerSpec.parse(scheduler), PROBLEM, 0, 8, 100.0)


def test_lists_make_a_scenario_of_each_combination():
    study = make_study(num_devices=(8, 32), scalings=("resnet50", "babi"), launch_costs=("1%",), seeds=(0,))
    assert len(study.scenarios) == 4
    assert {(scenario.num_devices, scenario.scaling) for scenario in study.scenarios} == {
        (devices, scaling) for devices in (8, 32) for scaling in ("resnet50", "babi")
    }


def test_the_ablation_takes_one_part_away_at_a_time():
    (scenario,) = make_study("ablation").scenarios
    assert scenario.schedulers == ABLATION_ARMS
    for arm in ABLATION_ARMS[1:-1]:
        assert len(SchedulerSpec.parse(arm).options) == 1


def test_the_sensitivity_study_varies_one_thing_at_a_time():
    base, *others = make_study("sensitivity").scenarios
    assert sum(len(values) for values in SENSITIVE_OPTIONS.values()) == len(base.schedulers) - 2
    for other in others:
        changed = [
            name for name in ("num_devices", "scaling", "launch_cost") if getattr(other, name) != getattr(base, name)
        ]
        assert len(changed) == 1
        assert other.schedulers == ("hypersched-published", "asha")
    moved = make_study("sensitivity", num_devices=(16,))
    assert moved.scenarios[0].num_devices == 16


def test_the_reference_is_the_first_scheduler_if_the_usual_one_is_not_there():
    assert make_study(schedulers=("random", "asha")).reference == "asha"
    assert make_study(schedulers=("random", "pasha")).reference == "random"


def test_in_real_time_there_is_no_scaling_to_choose():
    study = make_study(backend="local")
    assert study.scenarios[0].scaling is None
    assert study.seeds == (0,)
    with pytest.raises(ValueError, match="for the backend 'simulator'"):
        make_study(backend="local", scalings=("babi",))


def test_an_unknown_preset_is_named_with_the_nearest_one():
    with pytest.raises(ValueError, match="did you mean 'ablation'"):
        make_study("ablations")


def test_the_pool_preset_compares_with_one_that_knows_beforehand():
    study = make_study("pool", seeds=[0], deadlines=["0.25x"])
    assert {scenario.pool for scenario in study.scenarios} == set(POOLS)
    assert study.reference == "hypersched-foreseeing"
    assert len({scenario.folder for scenario in study.scenarios}) == len(POOLS)
    results = run_study(replace(study, scenarios=study.scenarios[:2]))
    assert len(results.outcomes) == 6
    text = describe(results)
    assert all(scenario.pool in text for scenario in results.study.scenarios)
    assert set(results_table(results)["pool"]) == {scenario.pool for scenario in results.study.scenarios}
    assert all(outcome.num_reports for outcome in results.outcomes)


def test_the_pay_preset_uses_fewer_device_hours_where_they_bring_little():
    study = make_study("pay", seeds=[0], deadlines=["4x"], schedulers=["hypersched", "hypersched:min_gain=10"])
    results = run_study(study)
    (whole,), (ended,) = (
        results.readings_of(study.scenarios[0], scheduler, study.deadlines[0])
        for scheduler in study.scenarios[0].schedulers
    )
    assert ended.utilisation < whole.utilisation
    assert ended.regret >= whole.regret


def test_asha_is_an_opponent_at_its_best():
    """A first rung at the second report is worth more than any other option of ASHA's."""
    opponents = set(make_study("opponents").scenarios[0].schedulers)
    for kind in ("asha", "asha-promotion"):
        for eta in (3, 4):
            assert {f"{kind}:reduction_factor={eta}:grace_period={grace}" for grace in (1, 2, 3)} <= opponents
    assert {"asha+kde:grace_period=2", "asha+bore:grace_period=2", "asha+cqr:grace_period=2", "i-epoch"} <= opponents
    assert {"asha:grace_period=2", "asha-promotion:grace_period=2", "i-epoch"} <= set(
        make_study().scenarios[0].schedulers
    )


def test_launches_may_cost_less_than_starts_and_resizes_less_than_launches():
    costs = {
        "5%": ("5%", None, None), "5%/0.1%": ("5%", None, "0.1%"),
        "5%+2%": ("5%", "2%", None), "30s+2s/0s": ("30s", "2s", "0s"),
    }  # fmt: skip
    for text, expected in costs.items():
        (scenario,) = make_study(launch_costs=(text,)).scenarios
        found = scenario.launch_cost, scenario.relaunch_cost, scenario.join_cost
        assert tuple(None if cost is None else str(cost) for cost in found) == expected
        assert scenario.launches == text
    with pytest.raises(ValueError, match="''"):
        make_study(launch_costs=("5%+",))
