from __future__ import annotations

import math

import pytest
from syne_tune.optimizer.scheduler import TrialSuggestion

from syne_hypersched.backends import Failures
from syne_hypersched.simulation._loop import SimulatedTuner
from tests.backends.virtual.curves import make_fleet


class Scripted:
    """A scheduler that suggests and decides what is written down, and writes down what it is told."""

    def __init__(self, suggestions=(), decisions=None):
        self.suggestions = list(suggestions)
        self.decisions = decisions or {}
        self.told = []

    def suggest(self):
        return self.suggestions.pop(0) if self.suggestions else None

    def on_trial_add(self, trial):
        self.told.append(("add", trial.trial_id))

    def on_trial_result(self, trial, result):
        self.told.append(("result", trial.trial_id, result["epoch"]))
        return self.decisions.get((trial.trial_id, result["epoch"]), "CONTINUE")

    def on_trial_remove(self, trial):
        self.told.append(("remove", trial.trial_id))

    def on_trial_complete(self, trial, result):
        self.told.append(("complete", trial.trial_id, result.get("epoch")))

    def on_trial_error(self, trial):
        self.told.append(("error", trial.trial_id))


def start(**config):
    return TrialSuggestion.start_suggestion(config)


def resume(trial_id, config=None):
    return TrialSuggestion.resume_suggestion(trial_id, config)


def run(scheduler, n_workers=1, per_trial=1, max_trials=None, max_results=None, on_result=None, **options):
    fleet, _ = make_fleet(**{"num_epochs": 2, **options})
    tuner = SimulatedTuner(scheduler, fleet, n_workers, per_trial, max_trials, max_results, on_result)
    tuner.run()
    return tuner, fleet


def test_a_trial_that_ends_by_itself_is_complete_with_its_last_result():
    scheduler = Scripted([start(x=1)])
    tuner, fleet = run(scheduler)
    assert scheduler.told == [("add", 0), ("result", 0, 1), ("result", 0, 2), ("complete", 0, 2)]
    assert (tuner.num_trials, fleet.time_s) == (1, 2.0)
    assert [(trial_id, config, decision) for trial_id, config, _, _, decision in tuner.results] == [
        (0, {"x": 1}, "CONTINUE")
    ] * 2


def test_as_many_trials_run_at_a_time_as_there_are_workers():
    scheduler = Scripted([start(x=x) for x in range(3)])
    tuner, fleet = run(scheduler, n_workers=2, per_trial=2)
    assert [entry for entry in scheduler.told if entry[0] != "result"] == [
        ("add", 0), ("add", 1), ("complete", 0, 2), ("complete", 1, 2), ("add", 2), ("complete", 2, 2),
    ]  # fmt: skip
    assert {report["st_num_devices"] for _, _, _, report, _ in tuner.results} == {2}
    assert fleet.time_s == 2.0, "linear scaling: each trial takes a second on its two devices"


def test_a_trial_is_stopped_or_paused_and_removed_and_may_be_resumed():
    scheduler = Scripted([start(x=0), start(x=1), resume(0, {"x": 7})], {(0, 1): "PAUSE", (1, 1): "STOP"})
    tuner, fleet = run(scheduler)
    assert scheduler.told == [
        ("add", 0), ("result", 0, 1), ("remove", 0), ("add", 1), ("result", 1, 1), ("remove", 1), ("result", 0, 2),
        ("complete", 0, 2),
    ]  # fmt: skip
    assert (fleet.status(0), fleet.status(1)) == ("Completed", "Stopped")
    assert [config["x"] for _, config, _, _, _ in tuner.results] == [0, 1, 7]


def test_without_a_new_configuration_a_resumed_trial_keeps_its_own():
    tuner, fleet = run(Scripted([start(x=5), resume(0)], {(0, 1): "PAUSE"}))
    assert [config["x"] for _, config, _, _, _ in tuner.results] == [5, 5]
    assert fleet.status(0) == "Completed"


@pytest.mark.parametrize(("decision", "status"), [("STOP", "Completed"), ("PAUSE", "Paused")])
def test_a_decision_at_the_last_report_of_a_trial(decision, status):
    scheduler = Scripted([start(x=0)], {(0, 2): decision})
    _, fleet = run(scheduler)
    assert scheduler.told[-1] == ("remove", 0), "it is not complete as well"
    assert fleet.status(0) == status


def test_a_trial_that_fails_is_an_error():
    scheduler = Scripted([start(x=0)])
    _, fleet = run(scheduler, failures=Failures(1.0, seed=1))
    assert [entry for entry in scheduler.told if entry[0] != "result"] == [("add", 0), ("error", 0)]
    assert fleet.status(0) == "Failed"


def test_one_trial_too_many_ends_the_run_at_once():
    tuner, fleet = run(Scripted([start(epochs=1), start(epochs=9), start()]), n_workers=2, max_trials=2, num_epochs=9)
    assert tuner.num_trials == 2
    assert [(trial_id, report["epoch"]) for trial_id, _, _, report, _ in tuner.results] == [(0, 1), (1, 1)]
    assert fleet.time_s == 1.0


def test_enough_results_end_the_run_at_once():
    tuner, _ = run(Scripted([start() for _ in range(9)]), max_results=5)
    assert len(tuner.results) == 5
    assert tuner.num_trials == 3


def test_a_scheduler_that_has_nothing_to_suggest_is_not_asked_again():
    asked = []

    class Counting(Scripted):
        def suggest(self):
            asked.append(1)
            return super().suggest()

    run(Counting([start(x=0)]), n_workers=3)
    assert len(asked) == 2


def test_a_decision_is_shown_after_it_was_taken():
    seen = []
    scheduler = Scripted([start(x=3)], {(0, 1): "STOP"})
    run(
        scheduler, on_result=lambda trial, result, decision: seen.append((trial.config["x"], result["epoch"], decision))
    )
    assert seen == [(3, 1, "STOP")]


@pytest.mark.parametrize(("max_trials", "is_told"), [(None, True), (20, False)])
def test_a_simulation_without_a_limit_says_so_after_many_trials(monkeypatch, caplog, max_trials, is_told):
    monkeypatch.setattr("syne_hypersched.simulation._loop._MANY", 5)
    fleet, _ = make_fleet(num_epochs=2)
    fleet.situation.deadline_s = math.inf
    SimulatedTuner(Scripted([start(x=1)] * 10), fleet, 1, 1, max_trials, None, None).run()
    assert ("without deadline_s, max_num_trials or max_num_results" in caplog.text) == is_told
