from __future__ import annotations

import json

import pytest

from benchmarking.speed.decision_cost import STRATEGIES, Tuning, main, measure, meets_goal


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_kind_of_call_is_timed(strategy):
    costs = measure(strategy, 100, 4)
    assert len(costs.closing_s) == 1
    assert min(len(costs.exploring_report_s), len(costs.exploring_suggest_s), len(costs.last_report_s)) > 10
    assert all(seconds > 0 for seconds in costs.exploring_report_s + costs.last_report_s)
    assert costs.num_resizes > 0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_trials_hold_the_devices_that_the_scheduler_has_asked_for(strategy):
    tuning = Tuning(strategy, 4)
    tuning.fill_devices()
    while len(tuning.trials) < 60:
        tuning.report()
        tuning.fill_devices()
        assert {i: tuning.trials[i].num_devices for i in tuning.scheduler.allocation} == tuning.scheduler.allocation
        assert len(tuning.scheduler.allocation) == 4


def test_the_goal_is_missed_by_a_slow_report_or_a_slow_closing():
    fast = {"exploring_report_s": {"p99_s": 1e-4}, "last_report_s": {"p99_s": 1e-4}, "closing_s": {"max_s": 1e-4}}
    assert meets_goal(fast)
    assert not meets_goal({**fast, "last_report_s": {"p99_s": 2e-3}})
    assert not meets_goal({**fast, "closing_s": {"max_s": 2e-3}})


def test_command_line(tmp_path, capsys):
    output = tmp_path / "costs.json"
    main(["--sizes", "60", "--num-devices", "4", "64", "--strategies", "adaptive", "--output", str(output)])
    rows = json.loads(output.read_text())
    assert [(row["num_devices"], row["size"]) for row in rows] == [(4, 60)]
    assert "adaptive, 4 devices, 60 trials known" in capsys.readouterr().out
