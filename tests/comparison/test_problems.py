from __future__ import annotations

import pytest

from syne_hypersched.comparison.presets import make_study
from syne_hypersched.comparison.problems import find_goal, find_problem, sorted_deadlines


def test_the_problem_of_a_table(small_study):
    study = small_study(deadlines=("20s", "0.5x"))
    (scenario,) = study.scenarios
    goal, problem = find_goal(study, scenario), find_problem(study, scenario)
    assert (goal.metric, goal.do_minimize, goal.time_attr) == ("error", True, "epoch")
    assert (problem.metric, problem.do_minimize, problem.time_attr, problem.max_t) == ("error", True, "epoch", 9)
    assert 9 < goal.full_run_s < 27
    assert [str(deadline) for deadline in sorted_deadlines(study, scenario)] == ["0.5x", "20s"]


def test_the_problem_of_a_script():
    study = make_study(backend="local", benchmarks=("digits-cnn",), schedulers=("asha",), deadlines=("60s",), max_t=5)
    (scenario,) = study.scenarios
    goal, problem = find_goal(study, scenario), find_problem(study, scenario)
    assert (goal.title, goal.metric, goal.full_run_s) == ("digits-cnn", "val_accuracy", None)
    assert problem.max_t == problem.config_space["epochs"] == 5


def test_a_deadline_in_full_runs_needs_their_length():
    study = make_study(backend="local", benchmarks=("digits-cnn",), schedulers=("asha",), deadlines=("1x",))
    with pytest.raises(ValueError, match="1x must be given in seconds"):
        sorted_deadlines(study, study.scenarios[0])
