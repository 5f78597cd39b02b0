"""HyperSched makes its plan when it knows with how many devices and how much time, from its user or its backend."""

from __future__ import annotations

from datetime import datetime

import dill
import numpy as np
import pytest
from syne_tune.backend.trial_status import Status, Trial
from syne_tune.config_space import uniform

from syne_hypersched import Adaptive, HyperSched, PublishedRules, simulate
from syne_hypersched.backends.shared.elastic import ElasticTrial
from syne_hypersched.contract import Situation
from syne_hypersched.recovery._replay_state import ReplayState
from tests.backends.virtual.curves import RoundCurves

SPACE = {"x": uniform(0, 1), "epoch_s": uniform(1, 3)}
STRATEGIES = ("adaptive", "published")


def make(*numbers, **options) -> HyperSched:
    return HyperSched(SPACE, "loss", "epoch", 27, *numbers, **{"random_seed": 1, **options})


def trial_of(num_devices=4, deadline_s=60.0) -> ElasticTrial:
    """The first trial, of a backend that knows these numbers."""
    backend = ReplayState(situation=Situation(num_devices, deadline_s), num_devices={0: 1})
    return ElasticTrial(0, {"x": 0.5}, datetime(2026, 1, 1), [], Status.in_progress, backend=backend)


def test_before_the_first_trial_nothing_is_planned():
    scheduler = HyperSched(SPACE, "loss", "epoch", 27)
    assert (scheduler.num_devices, scheduler.deadline_s) == (None, None)
    assert scheduler.admission_open
    assert scheduler.allocation == {}
    assert "no trial has started yet" in str(scheduler.explain())
    arguments = scheduler.metadata()["scheduler_kwargs"]
    assert arguments["num_devices"] is arguments["deadline_s"] is arguments["max_paused"] is None
    loaded = dill.loads(dill.dumps(scheduler))
    assert loaded.suggest().config.keys() == SPACE.keys()
    with pytest.raises(ValueError, match="num_devices must be given"):
        loaded.on_trial_add(Trial(0, {}, datetime.now()))


def simulated(scheduler, **arguments):
    return simulate(scheduler, RoundCurves(27), **{"num_devices": 4, "deadline_s": 60.0, **arguments})


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("scaling", [None, {1: 1.0, 4: 3.0}, lambda n: n**0.9])
def test_numbers_from_the_backend_have_the_same_effect_as_arguments(strategy, scaling, caplog):
    options = {"strategy": strategy, "scaling": scaling, "random_seed": 1}
    told = HyperSched(SPACE, "loss", "epoch", 27, 4, 60.0, **options)
    asks = HyperSched(SPACE, "loss", "epoch", 27, **options)
    before = asks.metadata()
    assert simulated(told).results.equals(simulated(asks).results)
    assert (asks.num_devices, asks.deadline_s, asks.max_paused) == (4, 60.0, told.max_paused)
    assert asks.scaling == told.scaling
    assert asks.metadata() == before
    assert not [record for record in caplog.records if record.name.endswith("._consistency")]


def test_with_both_numbers_the_plan_is_made_at_once():
    scheduler = make(4, 60.0)
    assert "no trial has started" not in str(scheduler.explain())
    assert scheduler._unplanned is None
    assert make(4, None)._unplanned is not None
    assert make(None, 60.0)._unplanned is not None


def test_the_first_trial_says_what_was_left_open_and_no_later_one():
    scheduler = make(None, 50.0)
    scheduler.on_trial_add(trial_of(4, 60.0))
    assert (scheduler.num_devices, scheduler.deadline_s) == (4, 50.0)
    assert scheduler.allocation == {0: 1}
    second = trial_of(8, 90.0)
    second.trial_id = 1
    second.backend.num_devices = {1: 1}
    scheduler.on_trial_add(second)
    assert (scheduler.num_devices, scheduler.deadline_s) == (4, 50.0)
    assert scheduler.metadata()["scheduler_kwargs"]["num_devices"] is None, "as it was made"


@pytest.mark.parametrize(("given", "kept"), [(None, 40), (7, 7)])
def test_paused_trials_are_limited_by_the_number_of_devices(given, kept):
    assert make(4, 60.0, max_paused=given).max_paused == kept
    asks = make(max_paused=given)
    assert asks.max_paused == given
    asks.on_trial_add(trial_of())
    assert asks.max_paused == kept


def test_the_published_rules_keep_all_paused_trials():
    assert make(4, 60.0, strategy="published").max_paused is None


def test_a_scaling_is_asked_once_and_kept_as_numbers():
    asked = []

    def scaling(num_devices):
        asked.append(num_devices)
        return num_devices**0.5

    scheduler = make(4, 60.0, scaling=scaling)
    assert scheduler.scaling == {n: pytest.approx(n**0.5) for n in range(1, 5)}
    before = len(asked)
    assert dill.loads(dill.dumps(scheduler)).scaling == scheduler.scaling
    assert len(asked) == before
    assert make(4, 60.0).scaling is None


@pytest.mark.parametrize(
    ("strategy", "stored"),
    [
        ("adaptive", "adaptive"), (Adaptive(), "adaptive"), (PublishedRules(), "published"),
        (PublishedRules(allocation_grid=np.int64(2)), {"name": "published", "allocation_grid": 2}),
    ],
)  # fmt: skip
def test_the_metadata_describe_the_strategy(strategy, stored):
    described = make(4, 60.0, strategy=strategy).metadata()["scheduler_kwargs"]["strategy"]
    if isinstance(stored, dict):
        described = {name: described[name] for name in stored}
    assert described == stored


def test_a_scaling_that_makes_no_sense_is_refused_before_there_is_a_plan():
    with pytest.raises(ValueError, match="scaling must be"):
        make(scaling="rocket")
