from __future__ import annotations

import random
from datetime import datetime

import numpy as np
import pytest
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import loguniform, randint

from syne_hypersched.comparison.schedulers import (
    Problem,
    SchedulerSpec,
    known_options,
    make_scheduler,
    scheduler_names,
)
from syne_hypersched.schedulers import ASHA, PASHA, HyperSched

SPACE = {"lr": loguniform(1e-4, 1.0), "width": randint(1, 64), "epochs": 9}
PROBLEM = Problem(SPACE, "accuracy", False, "epoch", 9)
POINTS = [{"lr": 0.1, "width": 8}, {"lr": 0.01, "width": 16}]
SEARCHING_AT_RANDOM = ("hypersched", "asha", "asha-promotion", "pasha", "syne-asha", "random")


def make(text, seed=0, **arguments):
    return make_scheduler(SchedulerSpec.parse(text), PROBLEM, seed, 4, 100.0, **arguments)


def suggest(scheduler, number):
    configs = []
    for trial_id in range(number):
        suggestion = scheduler.suggest()
        scheduler.on_trial_add(trial=Trial(trial_id, suggestion.config, datetime(2000, 1, 1)))
        configs.append(suggestion.config)
    return configs


@pytest.mark.parametrize("name", [name for name in scheduler_names() if name not in ("cqr", "botorch", "bore")])
def test_every_scheduler_can_be_made_and_suggests_complete_configurations(name):
    if name == "optuna":
        pytest.importorskip("optuna")
    (config,) = suggest(make(name), 1)
    assert set(config) == set(SPACE)
    assert make(name).metric_names() == ["accuracy"]
    assert make(name).metric_mode() == "max"


def test_schedulers_that_search_at_random_see_the_same_configurations():
    expected = suggest(make("asha", points_to_evaluate=POINTS), 4)
    assert [(config["lr"], config["width"]) for config in expected[:2]] == [(0.1, 8), (0.01, 16)]
    for name in SEARCHING_AT_RANDOM:
        scheduler = make(name, points_to_evaluate=POINTS)
        assert suggest(scheduler, 4) == expected, name


def test_no_process_wide_generator_decides():
    for name in ("random", "syne-asha"):
        random.seed(1)
        np.random.seed(1)
        first = suggest(make(name), 3)
        random.seed(2)
        np.random.seed(2)
        assert suggest(make(name), 3) == first


def test_options_and_searcher_reach_the_scheduler():
    scheduler = make("hypersched-published+kde:policy=top_job:grace_period=3:speculation=false:fixed_exploration=None")
    assert isinstance(scheduler, HyperSched)
    assert (scheduler.policy, scheduler.grace_period, scheduler.options.speculation) == ("top_job", 3, False)
    assert (scheduler.searcher, scheduler.options.fixed_exploration) == ("kde", None)
    assert (scheduler.num_devices, scheduler.deadline_s) == (4, 100.0)
    promotion = make("asha-promotion:reduction_factor=4")
    assert isinstance(promotion, ASHA)
    assert (promotion.type, promotion.reduction_factor) == ("promotion", 4)
    ranking = make("pasha:ranking_criterion=rbo:p=0.25")
    assert isinstance(ranking, PASHA)
    assert ranking.ranking_kwargs == {"p": 0.25}


def test_the_scaling_may_be_given_to_hypersched():
    assert make("hypersched").scaling is None
    assert make("hypersched:scaling=babi").scaling[4] == 2.027
    given = make("hypersched:scaling=given", scaling={1: 1.0, 2: 1.5})
    assert given.scaling[2] == 1.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hypershed", "unknown scheduler 'hypershed': did you mean 'hypersched'"),
        ("asha+kd", "unknown searcher 'kd': did you mean 'kde'"),
        ("random+kde", "'random' takes no searcher"),
        ("asha:grace=2", "did you mean 'grace_period'"),
        ("asha:grace_period", "must be written as option=value"),
        ("asha:random_seed=3", "unknown option of 'asha' 'random_seed'"),
    ],
)
def test_what_is_not_known_is_named_with_the_nearest_choice(text, message):
    with pytest.raises(ValueError, match=message):
        SchedulerSpec.parse(text)


def test_values_that_a_scheduler_refuses():
    with pytest.raises(ValueError, match="policy"):
        make("hypersched:policy=topjob")
    with pytest.raises(ValueError, match="unknown scaling 'resnet5'"):
        make("hypersched:scaling=resnet5")


def test_only_hypersched_and_i_epoch_know_the_deadline():
    for name in scheduler_names():
        assert SchedulerSpec.parse(name).knows_deadline == name.startswith(("hypersched", "i-epoch"))


def test_options_of_a_scheduler_leave_out_what_the_comparison_sets():
    assert "policy" in known_options("hypersched")
    assert "epsilon" in known_options("pasha")
    assert "deadline_s" not in known_options("hypersched")
    assert known_options("random") == ()
