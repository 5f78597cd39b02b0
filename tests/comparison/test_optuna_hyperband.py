"""Optuna as an opponent: its own decisions, on the tables and the clock of the others."""

from __future__ import annotations

import math
import sys

import pytest
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import choice, finrange, loguniform, ordinal, randint, uniform
from syne_tune.optimizer.scheduler import SchedulerDecision

from syne_hypersched import simulate
from syne_hypersched.backends import Failures
from syne_hypersched.blackboxes import load_digits
from syne_hypersched.comparison.optuna_hyperband import OptunaHyperband
from tests.installed import skip_without

skip_without("optuna")
SPACE = {
    "lr": loguniform(1e-4, 1), "x": uniform(0, 1), "n": randint(1, 8), "kind": choice(["a", "b"]),
    "width": ordinal([1, 2, 4]), "p": finrange(0.0, 1.0, 5), "data": "mnist",
}  # fmt: skip


def make(**arguments):
    return OptunaHyperband(SPACE, "loss", "epoch", 9, random_seed=0, **arguments)


def add(scheduler, trial_id):
    trial = Trial(trial_id, scheduler.suggest().config, None)
    scheduler.on_trial_add(trial)
    return trial


def states(scheduler):
    return [trial.state.name for trial in scheduler._study.trials]


def test_configurations_are_of_the_space():
    scheduler = make()
    configs = [scheduler.suggest().config for _ in range(50)]
    for name, domain in SPACE.items():
        values = [config[name] for config in configs]
        if name == "data":
            assert set(values) == {"mnist"}
        elif name == "p":
            assert set(values) <= {0.0, 0.25, 0.5, 0.75, 1.0}
        else:
            assert all(domain.is_valid(value) for value in values)
    assert {config["width"] for config in configs} == {1, 2, 4}


@pytest.mark.parametrize("do_minimize", [True, False])
def test_it_runs_on_a_table_and_learns(do_minimize):
    table = load_digits()
    metric = "val_loss" if do_minimize else "val_accuracy"
    results = []
    for _ in range(2):
        scheduler = OptunaHyperband(table.configuration_space, metric, "epoch", 81, do_minimize, random_seed=0)
        simulation = simulate(
            scheduler, table, num_devices=8, deadline_s=0.5 * table.full_run_s(), failures=Failures(0.005)
        )
        results.append(simulation.results.to_csv())
    assert results[0] == results[1]
    assert {"PRUNED", "FAIL"} <= set(states(scheduler))
    pruned = {trial.number for trial in scheduler._study.trials if trial.state.name == "PRUNED"}
    assert set(simulation.results[simulation.results.st_decision == "STOP"].trial_id) == pruned


def test_a_trial_ends_at_the_maximum_or_when_it_has_diverged():
    scheduler = make()
    trials = [add(scheduler, trial_id) for trial_id in range(4)]
    assert scheduler.on_trial_result(trials[0], {"epoch": 9, "loss": 0.5}) == SchedulerDecision.STOP
    assert scheduler.on_trial_result(trials[1], {"epoch": 1, "loss": math.nan}) == SchedulerDecision.STOP
    assert scheduler.on_trial_result(trials[2], {"epoch": 1}) == SchedulerDecision.CONTINUE
    scheduler.on_trial_error(trials[2])
    scheduler.on_trial_complete(trials[3], {"epoch": 1, "loss": 0.1})
    assert states(scheduler) == ["COMPLETE", "PRUNED", "FAIL", "COMPLETE"]
    assert scheduler._study.best_value == 0.1
    assert scheduler.on_trial_result(trials[3], {"epoch": 2, "loss": 0.0}) == SchedulerDecision.STOP


def test_the_worst_trials_are_pruned():
    scheduler = make()
    decisions = []
    for trial_id in range(30):
        trial = add(scheduler, trial_id)
        for epoch in range(1, 10):
            decision = scheduler.on_trial_result(trial, {"epoch": epoch, "loss": trial.config["x"]})
            if decision == SchedulerDecision.STOP:
                break
        decisions.append((trial.config["x"], epoch))
    complete = [x for x, epoch in decisions if epoch == 9]
    pruned = [x for x, epoch in decisions if epoch < 9]
    assert pruned
    assert sum(complete) / len(complete) < sum(pruned) / len(pruned)


def test_without_optuna_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ModuleNotFoundError, match=r"the scheduler 'optuna' needs optuna.*\[export\]"):
        make()


@pytest.mark.parametrize("wrong", [{"min_resource": 0}, {"reduction_factor": 1}, {"min_resource": 1.5}])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        make(**wrong)
