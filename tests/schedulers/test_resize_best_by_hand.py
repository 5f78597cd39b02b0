"""ResizeBest on a tuning by hand: which trial grows, and which reports and arguments are refused."""

from __future__ import annotations

import logging

import dill
import numpy as np
import pytest
from syne_tune.constants import ST_TUNER_TIME
from syne_tune.optimizer.baselines import RandomSearch
from syne_tune.optimizer.schedulers.asha import AsynchronousSuccessiveHalving
from syne_tune.optimizer.schedulers.single_fidelity_scheduler import SingleFidelityScheduler

from syne_hypersched import (
    HyperSched,
    ResizeBest,
    simulate,
)
from syne_hypersched.contract import RemovingScheduler
from tests.schedulers.families import SPACE, Curves
from tests.schedulers.resizing import Backend, Resizable, Tuning, make


def test_the_best_trial_by_its_best_report_grows_first_once_nothing_starts():
    tuning = Tuning()
    for losses in ((3, 1, 2), (3, 1, 2), (3, 1, 2)):
        assert tuning.report(*losses) == {}
    assert tuning.scheduler.suggest() is None
    assert tuning.scheduler.suggest() is None
    assert tuning.report(3, 9, 2) == {1: 2}  # the best so far, whatever it reports now
    assert "grows from 1 to 2 devices: rank 1 of 3" in tuning.backend.noted[0]
    tuning.scheduler.on_trial_complete(tuning.trials[1], {"epoch": 4, "loss": 9})
    assert tuning.report(3, None, 2) == {0: 2, 1: 2, 2: 2}
    assert tuning.scheduler.allocation == {0: 2, 2: 2}
    assert tuning.backend.published == [0, 1]


def test_top_job_gives_all_to_the_best():
    tuning = Tuning(count=2, num_devices=8, policy="top_job")
    tuning.report(2, 1), tuning.report(2, 1)
    tuning.scheduler.suggest()
    assert tuning.report(2, 1) == {1: 7}


@pytest.mark.parametrize(("max_t", "expected"), [(6, {}), (100, {0: 2, 1: 2})])
def test_a_trial_that_is_nearly_done_is_not_relaunched(max_t, expected):
    tuning = Tuning(count=2, max_t=max_t, launch_s=3.0)
    for _ in range(3):
        assert tuning.report(2, 1) == {}
    assert tuning.scheduler.suggest() is None
    assert tuning.report(2, 1) == expected  # two epochs of 2 s are left of six


@pytest.mark.parametrize(("deadline_s", "expected"), [(10.0, {}), (100.0, {0: 2, 1: 2}), (None, {0: 2, 1: 2})])
def test_a_relaunch_must_pay_by_the_deadline(deadline_s, expected):
    tuning = Tuning(count=2, deadline_s=deadline_s, launch_s=1.5)
    for _ in range(3):
        assert tuning.report(2, 1) == {}
    assert tuning.scheduler.suggest() is None
    assert tuning.report(2, 1) == expected  # at 8 s


def test_reports_that_cannot_be_used_and_trials_that_end_change_nothing():
    tuning = Tuning(count=3)
    tuning.report(2, 1, 3), tuning.report(2, 1, 3)
    tuning.scheduler.suggest()
    tuning.scheduler.on_trial_error(tuning.trials[0])
    tuning.scheduler.on_trial_remove(tuning.trials[2])
    assert tuning.scheduler.allocation == {1: 1}
    tuning.scheduler.on_trial_result(trial=tuning.trials[1], result={"epoch": 3, "loss": float("nan")})
    assert tuning.report(None, 1, None)[1] >= 2


def test_a_loaded_tuner_has_forgotten_the_trials_that_ran():
    tuning = Tuning(count=4, max_trials=9, clock=None)
    tuning.report(1, 2, 3, 4)
    with pytest.raises(ValueError, match="num_devices must be at least the tuner's n_workers"):
        tuning.scheduler._begin(7)
    loaded = dill.loads(dill.dumps(tuning.scheduler))
    loaded.on_trial_result(trial=tuning.trials[1], result={"epoch": 2, "loss": 2})
    loaded.on_trial_add(trial=Resizable(7, {"x": 0.5}, tuning.backend))
    assert set(loaded.allocation) == {1, 7}


def test_what_was_decided_by_another_clock_than_that_of_the_reports_was_at_time_0():
    tuning = Tuning(clock=None)
    tuning.scheduler.suggest()
    for _ in range(9):
        tuning.report(1, 2, 3)
    before = tuning.scheduler.decisions
    assert before
    tuning.scheduler.on_trial_result(trial=tuning.trials[2], result={"epoch": 10, "loss": 3.0, ST_TUNER_TIME: 5.0})
    assert {decision.time_s for decision in tuning.scheduler.decisions[: len(before)]} == {0.0}


def test_a_backend_that_cannot_resize_is_warned_of_once(caplog):
    with caplog.at_level(logging.WARNING):
        tuning = Tuning(elastic=False)
        tuning.report(1, 2, 3), tuning.report(1, 2, 3)
    assert sum("cannot be resized" in message for message in caplog.messages) == 1
    assert tuning.scheduler.allocation == {}


def test_what_it_does_not_have_is_asked_of_the_scheduler_inside():
    scheduler = make("promotion")
    assert scheduler.ladders == scheduler.scheduler.ladders
    assert scheduler.trials_checkpoints_can_be_removed() == []
    assert scheduler.callback_for_checkpoint_removal(lambda status: False) is not None
    assert make("stock ASHA").callback_for_checkpoint_removal(lambda status: False) is None
    with pytest.raises(AttributeError, match="no attribute 'bracket'"):
        _ = scheduler.bracket
    assert isinstance(scheduler.scheduler, RemovingScheduler)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"policy": "softmax"}, ValueError, 'policy must be "uniform" or "top_job", but got'),
        ({"scaling": "resnet"}, ValueError, "scaling must be one of 'resnet18'"),
        ({"num_devices": 0}, ValueError, "num_devices must be at least 1, but got 0"),
        ({"deadline_s": -1}, ValueError, "deadline_s must be a finite number greater than 0, but got -1"),
        ({"max_trials": 1.5}, TypeError, "max_trials must be an integer"),
        ({"max_t": 0}, ValueError, "max_t must be a finite number greater than 0"),
        ({"recharge_period": -1}, ValueError, "recharge_period must be at least 0"),
        ({"time_attr": None}, TypeError, "time_attr must be the name of an entry of the reports, but got None"),
        ({"clock": 3}, TypeError, "clock must be a callable"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        make("stock random search", **arguments)


def test_bad_schedulers():
    with pytest.raises(TypeError, match="scheduler must be a scheduler of Syne Tune, but got 'asha'"):
        ResizeBest("asha")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="scheduler must be one that resizes no trials, but got a HyperSched"):
        ResizeBest(HyperSched(SPACE, "loss", "epoch", 9))
    with pytest.raises(ValueError, match=r"scheduler must have a single metric, but got one with \['a', 'b'\]"):
        ResizeBest(SingleFidelityScheduler(SPACE, ["a", "b"], random_seed=0), time_attr="epoch")
    backend = Backend()
    backend.devices[0] = 2
    with pytest.raises(ValueError, match="num_devices_per_trial=1, but trial 0 was started on 2"):
        make("promotion").on_trial_add(Resizable(0, {"x": 0.5}, backend))


BAD = [{"epoch": 2}, {"epoch": 2, "loss": None}, {"epoch": "two", "loss": 0.0}, {"loss": 0.0}]


@pytest.mark.parametrize("report", BAD)
def test_a_report_that_syne_tunes_scheduler_would_raise_an_error_at_is_left_out(report, caplog):
    def make_inside():
        np.random.seed(0)
        return AsynchronousSuccessiveHalving(
            SPACE, metric="loss", time_attr="epoch", max_t=9, grace_period=9, random_seed=0
        )

    def with_bad(x, reports):
        return [*reports[:1], dict(report), *reports[1:], dict(report)] if x < 50 else [dict(report)]

    scheduler = ResizeBest(make_inside(), num_devices=2, max_trials=8)
    simulation = simulate(scheduler, Curves(change=with_bad), num_devices=2, deadline_s=200.0)
    assert simulation.num_trials == 8
    assert set(simulation.results.config_x < 50) == {True, False}
    good = simulation.results[(simulation.results.config_x < 50) & (simulation.results.loss > 0)]
    assert max(good.epoch) == 9
    assert caplog.text.count("the report is left out") == 1


def test_the_median_stopping_rule_has_a_single_metric():
    from syne_tune.optimizer.schedulers.median_stopping_rule import MedianStoppingRule

    scheduler = ResizeBest(MedianStoppingRule(RandomSearch(SPACE, metrics=["loss"]), "epoch", metric="loss"))
    assert scheduler.metric_names() == ["loss"]
    assert scheduler.time_attr == "epoch"
