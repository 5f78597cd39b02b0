"""Trials that cannot run on the devices they were given: both strategies of HyperSched stop requesting so many."""

from __future__ import annotations

import pytest
from syne_tune.config_space import uniform

from syne_hypersched import HyperSched
from tests.schedulers.families import with_rules

NUM_DEVICES = 8
DEADLINE_S = 100.0


class LimitedTrial:
    """A trial of a backend that detects, at some time, on how many devices the trial can run."""

    def __init__(self, trial_id):
        self.trial_id, self.config = trial_id, {"x": 0.5}
        self.num_devices, self.max_num_devices = 1, None
        self.wishes = []

    def resize(self, num_devices):
        self.wishes.append(num_devices)
        if self.max_num_devices is None or num_devices <= self.max_num_devices:
            self.num_devices = num_devices

    def fail_on_more_than(self, num_devices):
        self.num_devices, self.max_num_devices, self.wishes = 1, num_devices, []

    def follow(self, time_attr):
        pass

    def publish(self, result):
        pass


class Tuning:
    """The last stretch of a tuning, by hand."""

    def __init__(self, num_trials, **options):
        self.now_s = 0.0
        if options.get("strategy") != "adaptive":
            options = {
                "strategy": "published",
                "fixed_exploration": 0.5,
                "recharge_period": 0,
                "reduction_factor": 50,
            } | options
        self.scheduler = HyperSched(
            {"x": uniform(0, 1)}, "loss", "epoch", max_t=1000, num_devices=NUM_DEVICES, deadline_s=DEADLINE_S,
            scaling={1: 1, 8: 8}, clock=lambda: self.now_s, random_seed=0, **with_rules(options),
        )  # fmt: skip
        self.trials = [LimitedTrial(trial_id) for trial_id in range(num_trials)]
        for trial in self.trials:
            assert self.scheduler.suggest() is not None
            self.scheduler.on_trial_add(trial)
        self.epoch = 0
        for second in range(1, 63):
            self.report(float(second))
        assert not self.scheduler.admission_open

    def report(self, now_s):
        self.now_s, self.epoch = now_s, self.epoch + 1
        for trial in self.trials:
            result = {"loss": 0.5, "epoch": self.epoch}
            if trial.trial_id in self.scheduler.allocation:
                self.scheduler.on_trial_result(trial, result)


STRATEGIES = [{"policy": "uniform"}, {"policy": "top_job"}, {"policy": "goodput"}, {"strategy": "adaptive"}]


@pytest.mark.parametrize("options", STRATEGIES, ids=lambda options: next(iter(options.values())))
@pytest.mark.parametrize("most", [1, 3])
def test_a_size_that_has_failed_is_not_asked_for_again(options, most):
    tuning = Tuning(num_trials=1, **options)
    (trial,) = tuning.trials
    assert trial.num_devices > 3
    trial.fail_on_more_than(most)
    for second in range(10):
        tuning.report(63.0 + second)
        assert tuning.scheduler.allocation == {0: trial.num_devices}
    assert all(wish <= most for wish in trial.wishes)
    assert trial.num_devices == most


@pytest.mark.parametrize("options", STRATEGIES[:2], ids=lambda options: options["policy"])
def test_the_devices_of_a_trial_that_went_back_are_free_for_others(options):
    tuning = Tuning(num_trials=2, **options)
    first, second = tuning.trials
    assert first.num_devices + second.num_devices == NUM_DEVICES
    before = second.num_devices
    first.fail_on_more_than(1)
    for moment in range(5):
        tuning.report(63.0 + moment)
    assert tuning.scheduler.allocation == {0: 1, 1: second.num_devices}
    assert second.num_devices >= before
    assert first.wishes == []
