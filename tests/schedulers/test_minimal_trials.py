"""Trials of a backend that offers only what the contract demands: ``num_devices`` and ``resize``."""

from __future__ import annotations

from datetime import datetime

import pytest
from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer.scheduler import SchedulerDecision
from syne_tune.optimizer.schedulers.asha import AsynchronousSuccessiveHalving

from syne_hypersched import ResizeBest
from syne_hypersched.contract import is_elastic
from tests.schedulers.families import FAMILIES, MAX_T, SPACE, Listed


class MinimalTrial(Trial):
    """Has nothing that is optional."""

    def __init__(self, config):
        super().__init__(0, config, datetime.now())
        self.num_devices = 1

    def resize(self, num_devices):
        self.num_devices = num_devices


def stock_asha(**arguments):
    return AsynchronousSuccessiveHalving(
        SPACE, metric="loss", time_attr="epoch", max_t=MAX_T, searcher=Listed(), do_minimize=True, **arguments
    )


def resizing(make):
    return lambda clock, **arguments: ResizeBest(make(**arguments), num_devices=2, max_trials=1, clock=clock)


SCHEDULERS = {
    **FAMILIES,
    **{f"resized {name}": resizing(FAMILIES[name]) for name in ("stopping", "promotion", "pasha")},
    "resized stock": resizing(stock_asha),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_trial_that_can_only_be_resized_is_tuned(name):
    now, arguments = [0.0], {}
    resizes = "resized" in name or name in ("adaptive", "published")
    if resizes:
        arguments["clock"] = lambda: now[0]
    if name != "resized stock":
        arguments["searcher"] = Listed([{"x": 1.0}])
    scheduler = SCHEDULERS[name](**arguments)
    trial = MinimalTrial(scheduler.suggest().config)
    assert is_elastic(trial)
    scheduler.on_trial_add(trial=trial)
    assert scheduler.suggest() is None
    decisions = []
    for epoch in range(1, MAX_T + 1):
        now[0] += 10.0
        decisions.append(scheduler.on_trial_result(trial=trial, result={"epoch": epoch, "loss": 1 / epoch}))
        if decisions[-1] != SchedulerDecision.CONTINUE:
            break
    assert trial.num_devices == (2 if resizes and len(decisions) > 2 else 1)
