from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace

import dill
import pytest
from syne_tune.backend.trial_status import Trial
from syne_tune.tuning_status import TuningStatus

from syne_hypersched._short_table import ShortTuningStatus, shorten_table


def make_tuner(num_trials: int, mode: str):
    status = TuningStatus(["loss"])
    trials = {index: Trial(index, {"x": index}, datetime.now()) for index in range(num_trials)}
    results = [(index, {"loss": float((7 * index) % num_trials)}) for index in trials if index]
    status.update({index: (trial, "InProgress") for index, trial in trials.items()}, results)
    scheduler = SimpleNamespace(metric_names=lambda: ["loss"], metric_mode=lambda: mode)
    return SimpleNamespace(tuning_status=status, scheduler=scheduler)


def losses(tuner) -> list[str]:
    return [line.split()[-1] for line in str(tuner.tuning_status).splitlines() if "InProgress" in line]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_many_trials_are_cut_to_the_best(mode):
    tuner = make_tuner(101, mode)
    whole = str(tuner.tuning_status).splitlines()[-1]
    shorten_table(tuner)
    text = str(tuner.tuning_status)
    assert text.startswith("the 10 best of 101 trials, by the best loss of each; the last one is shown:\n")
    assert text.splitlines()[-1].split(",")[:2] == whole.split(",")[:2]  # counts of all trials
    assert len(losses(tuner)) == 10
    assert len(tuner.tuning_status.trial_rows) == 101
    assert losses(tuner)[0] == ("1.0" if mode == "min" else "100.0")


def test_trials_are_ranked_by_their_best_value_as_in_the_report():
    tuner = make_tuner(30, "min")
    status = tuner.tuning_status
    shorten_table(tuner)
    trial = Trial(0, {"x": 0}, datetime.now())
    for loss in (-1.0, 99.0):  # it was the best one, and is the worst one now
        tuner.tuning_status.update({0: (trial, "InProgress")}, [(0, {"loss": loss})])
    assert status is not tuner.tuning_status
    assert losses(tuner)[0] == "99.0"


def test_few_trials_are_as_they_were():
    tuner = make_tuner(10, "min")
    before = str(tuner.tuning_status).splitlines()[:-1]
    shorten_table(tuner)
    assert str(tuner.tuning_status).splitlines()[:-1] == before


def test_a_status_of_another_class_is_left_alone():
    tuner = make_tuner(20, "min")
    shorten_table(tuner)
    mine = tuner.tuning_status
    shorten_table(tuner)
    assert tuner.tuning_status is mine
    shorten_table(SimpleNamespace(tuning_status=None))


def test_it_is_stored_with_its_tuner():
    tuner = make_tuner(20, "min")
    shorten_table(tuner)
    copy = dill.loads(dill.dumps(tuner.tuning_status))
    assert isinstance(copy, ShortTuningStatus)
    assert str(copy).startswith("the 10 best of 20 trials")


def test_trials_are_told_apart_whatever_their_configurations_are_called():
    tuner = make_tuner(30, "min")
    for row in tuner.tuning_status.trial_rows.values():
        row["trial_id"] = 77  # as Syne Tune does if the configuration has such an entry
    shorten_table(tuner)
    assert len(losses(tuner)) == 10
