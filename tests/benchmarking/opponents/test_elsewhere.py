"""A scheduler of another process, and the ones of Syne Tune 0.13 where there is an interpreter with it."""

from __future__ import annotations

import datetime
import importlib.metadata
import math
import os
import shutil
import sys
from pathlib import Path

import pytest
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import choice, loguniform, uniform

from benchmarking.opponents.elsewhere import GRACE_2, OLD_NAMES, Elsewhere, old_version
from syne_hypersched import simulate
from syne_hypersched.blackboxes import TableBlackbox

#: An interpreter with Syne Tune 0.13 and its extra ``gpsearchers``.
OLD_PYTHON = os.environ.get("OLD_SYNE_TUNE_PYTHON")
STAND_IN = Path(__file__).with_name("stand_in.py")


@pytest.fixture
def scheduler():
    made = Elsewhere(sys.executable, "mobster", {"x": uniform(0, 1)}, "loss", "epoch", 4, True, 0, program=STAND_IN)
    yield made
    made.close()


def test_it_starts_resumes_pauses_and_stops_as_the_other_process_says(scheduler):
    trials = [Trial(i, {}, datetime.datetime.now()) for i in range(3)]
    for trial, x in zip(trials, (0.25, 0.75), strict=False):
        suggestion = scheduler.suggest()
        assert (suggestion.spawn_new_trial_id, suggestion.config) == (True, {"x": x})
        scheduler.on_trial_add(trial)
    assert scheduler.on_trial_result(trials[0], {"epoch": 1, "loss": 0.25}) == "CONTINUE"
    assert scheduler.on_trial_result(trials[0], {"epoch": 2, "loss": 0.125}) == "PAUSE"
    scheduler.on_trial_remove(trials[0])
    assert scheduler.on_trial_result(trials[1], {"epoch": 1, "loss": 0.75}) == "STOP"
    scheduler.on_trial_remove(trials[1])
    resumed = scheduler.suggest()
    assert (resumed.spawn_new_trial_id, resumed.checkpoint_trial_id) == (False, 0)
    assert scheduler.on_trial_result(trials[0], {"epoch": 3, "loss": math.nan}) == "STOP"
    scheduler.on_trial_error(trials[0])  # it is told of a failure once
    told = scheduler.suggest().config["x"]
    assert told == [
        ["suggest"], ["add", 0], ["suggest"], ["add", 1], ["result", 0, 1, 0.25], ["result", 0, 2, 0.125],
        ["remove", 0], ["result", 1, 1, 0.75], ["remove", 1], ["suggest"], ["error", 0], ["suggest"],
    ]  # fmt: skip
    scheduler.on_trial_add(trials[2])
    scheduler.on_trial_complete(trials[2], {"epoch": 4, "loss": 0.0})
    assert scheduler.suggest() is None
    assert (scheduler.metric_names(), scheduler.metric_mode()) == (["loss"], "min")
    assert scheduler.metadata()["scheduler_name"] == "mobster"


def test_a_process_that_ends_is_an_error_with_what_it_said(scheduler):
    scheduler._running[99] = {}
    with pytest.raises(RuntimeError, match=r"(?s)process of mobster has ended.*no such trial"):
        scheduler.on_trial_error(Trial(99, {}, datetime.datetime.now()))


def test_names():
    assert {name.removesuffix(GRACE_2) for name in OLD_NAMES} == {"mobster", "hypertune", "dyhpo"}
    assert old_version(sys.executable) == importlib.metadata.version("syne-tune")


def test_an_interpreter_without_syne_tune_is_named():
    with pytest.raises(ValueError, match=r"interpreter with Syne Tune, but .*false has none"):
        old_version(shutil.which("false"))


@pytest.mark.skipif(OLD_PYTHON is None, reason="OLD_SYNE_TUNE_PYTHON names no interpreter")
@pytest.mark.parametrize("name", OLD_NAMES)
def test_the_schedulers_of_the_old_version(name):
    assert old_version(OLD_PYTHON) == "0.13.0"
    rows = [{"x": x / 20, "lr": 10.0 ** (-x % 3), "kind": "ab"[x % 2]} for x in range(20)]
    accuracies = [[1 - abs(row["x"] - 0.6) - 0.3 / level for level in range(1, 10)] for row in rows]
    table = TableBlackbox(rows, {"accuracy": accuracies}, [range(1, 10)] * 20)
    space = {"x": uniform(0, 1), "lr": loguniform(1e-2, 1), "kind": choice(["a", "b"]), "data": "digits"}
    scheduler = Elsewhere(OLD_PYTHON, name, space, "accuracy", "epoch", 9, False, seed=1)
    seen = []
    simulate(
        scheduler, table, num_devices=2, deadline_s=60, seed=0,
        on_result=lambda trial, result, decision: seen.append((result["epoch"], decision)),
    )  # fmt: skip
    scheduler.close()
    assert len(seen) > 60
    assert max(level for level, _ in seen) == 9
    first = min(level for level, decision in seen if decision != "CONTINUE")
    assert first == (2 if name.endswith(GRACE_2) else 1)
