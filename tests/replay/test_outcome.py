from __future__ import annotations

from dataclasses import replace

import pytest

from syne_hypersched.experiments import load_run
from syne_hypersched.replay import (
    KnownCurve,
    ReplayScenario,
    RunCurves,
    default_scenarios,
    replay_scenarios,
    run_curves,
)


def known_of(values, num_devices=1, deadline_s=100.0, max_t=4.0, **members):
    """A run in which every epoch takes a second."""
    curves = tuple(
        KnownCurve(i, tuple(range(1, len(v) + 1)), tuple(v), tuple(1.0 for _ in v), len(v) >= max_t)
        for i, v in enumerate(values)
    )
    best = min((value, i, level + 1) for i, v in enumerate(values) for level, value in enumerate(v))
    named = {
        "metric": "loss", "do_minimize": True, "time_attr": "epoch", "speed_up": {1: 1.0}, "start_s": 0.0,
        "resume_s": 0.0, "scheduler_name": "ASHA", "scheduler_kwargs": {"type": "stopping", "grace_period": 1},
    }  # fmt: skip
    return RunCurves(
        **named | members,
        max_t=max_t,
        curves=curves,
        num_devices=num_devices,
        deadline_s=deadline_s,
        best_trial=best[1],
        best_value=best[0],
        best_level=best[2],
    )


def replay_scenario(known, scenario):
    return replay_scenarios(known, [scenario])[0]


def as_it_was(known):
    return default_scenarios(known)[0]


@pytest.mark.parametrize("name", ["asha", "hypersched", "pasha"])
def test_a_replay_of_the_run_as_it_was_finds_what_the_run_found(make_simulated, name):
    run = load_run(make_simulated(name))
    known = run_curves(run)
    outcome = replay_scenario(known, as_it_was(known))
    assert (outcome.winner, outcome.value) == (known.best_trial, pytest.approx(known.best_value))


def test_a_trial_that_was_trained_too_late_would_have_been_lost():
    known = known_of([[0.9, 0.8, 0.7, 0.6], [0.5, 0.4, 0.3, 0.1]])
    scenario = ReplayScenario("short", "to-the-end", 1, 3.5)
    outcome = replay_scenario(known, scenario)
    assert (outcome.winner, outcome.value, outcome.own_level, outcome.own_fate) == (0, 0.7, 0.0, "")
    longer = replay_scenario(known, ReplayScenario("long", "to-the-end", 1, 8.5))
    assert longer.is_sure(1)
    assert (longer.beyond, longer.num_trials) == ((), 2)


def test_a_first_rung_that_is_too_low_loses_a_trial_that_begins_slowly():
    values = [[0.5, 0.45, 0.44, 0.43]] * 3 + [[0.9, 0.8, 0.2, 0.1]]
    known = known_of(values, scheduler_kwargs={"type": "stopping", "grace_period": 3, "reduction_factor": 3})
    low = replay_scenario(known, ReplayScenario("low", "asha", 1, 100.0, 1, {"reduction_factor": 3}))
    assert (low.winner, low.own_level, low.own_fate) == (0, 1, "STOP")
    high = replay_scenario(known, ReplayScenario("high", "asha", 1, 100.0, 4, {"reduction_factor": 3}))
    assert high.is_sure(3)


def test_what_is_not_known_of_a_trial_that_was_ended_is_said():
    known = known_of([[0.9, 0.8, 0.3, 0.2], [0.5]])
    outcome = replay_scenario(known, ReplayScenario("all", "to-the-end", 1, 100.0))
    assert outcome.beyond == (1,)
    assert (outcome.winner, outcome.value) == (0, 0.2)
    assert outcome.hopeful_winner == 1  # it would have gained 0.7 as well, from 0.5
    assert not outcome.is_sure(0)


def test_a_value_that_is_only_supposed_never_wins():
    known = known_of([[0.9, 0.8, 0.7], [0.5]])
    outcome = replay_scenario(known, ReplayScenario("all", "to-the-end", 1, 100.0))
    assert (outcome.winner, outcome.value) == (1, 0.5)


def test_the_end_of_the_configurations_is_noticed():
    known = known_of([[0.9, 0.8, 0.7, 0.6], [0.5, 0.4, 0.3, 0.2]])
    one_after_the_other = replay_scenario(known, ReplayScenario("one", "to-the-end", 1, 7.5))
    assert one_after_the_other.out_of_trials_s is None
    at_once = replay_scenario(known, ReplayScenario("three", "to-the-end", 3, 7.5))
    assert at_once.out_of_trials_s == 0.0


def test_launches_cost_what_they_cost_in_the_run():
    known = known_of([[0.9, 0.8, 0.7, 0.6]], start_s=10.0)
    outcome = replay_scenario(known, ReplayScenario("costly", "to-the-end", 1, 12.5))
    assert outcome.own_level == 2


def test_a_device_that_is_worth_two_is_used(make_simulated):
    known = run_curves(load_run(make_simulated("hypersched")))
    faster = replace(known, speed_up={1: 1.0, 4: 4.0})
    scenario = as_it_was(known)
    slow, fast = replay_scenario(known, scenario), replay_scenario(faster, scenario)
    assert slow.winner in {curve.trial_id for curve in known.curves}
    assert fast.own_level >= slow.own_level
