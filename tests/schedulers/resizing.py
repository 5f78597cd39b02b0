"""Schedulers around which ResizeBest is put."""

from __future__ import annotations

from datetime import datetime

from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer.baselines import RandomSearch
from syne_tune.optimizer.schedulers.asha import AsynchronousSuccessiveHalving

from syne_hypersched import (
    ASHA,
    PASHA,
    ResizeBest,
)
from syne_hypersched.contract import ST_LAUNCH, ST_SIGNAL_TO_REPORT_S
from tests.schedulers.families import SPACE, Listed


def points(count=6):
    return [{"x": float(x)} for x in range(count)]


def stock_asha(max_t=27):
    return AsynchronousSuccessiveHalving(
        SPACE, "loss", time_attr="epoch", max_t=max_t, random_seed=0, searcher_kwargs={"points_to_evaluate": points()}
    )


INSIDE = {
    "stopping": lambda: ASHA(SPACE, "loss", "epoch", 27, searcher=Listed(points()), random_seed=0),
    "promotion": lambda: ASHA(SPACE, "loss", "epoch", 27, type="promotion", searcher=Listed(points()), random_seed=0),
    "pasha": lambda: PASHA(SPACE, "loss", "epoch", 27, searcher=Listed(points()), random_seed=0),
    "promotion, points": lambda: ASHA(
        SPACE, "loss", "epoch", 27, type="promotion", points_to_evaluate=points(), random_seed=0
    ),
    "stock ASHA": stock_asha,
    "stock random search": lambda: RandomSearch(SPACE, ["loss"], points_to_evaluate=points(), random_seed=0),
}


def make(name, **arguments) -> ResizeBest:
    return ResizeBest(INSIDE[name](), **{"time_attr": "epoch", "max_trials": 6, "scaling": "linear", **arguments})


class Resizable(Trial):
    """A trial as in the contract, without processes."""

    def __init__(self, trial_id, config, backend):
        super().__init__(trial_id, config, datetime(2024, 1, 1))
        self.backend = backend

    @property
    def num_devices(self):
        return self.backend.devices.get(self.trial_id, 1)

    def resize(self, num_devices):
        self.backend.devices[self.trial_id] = num_devices

    def follow(self, time_attr):
        assert time_attr == "epoch"

    def publish(self, result):
        self.backend.published.append(self.trial_id)

    def note(self, what, reason, numbers):
        assert what == "resize"
        self.backend.noted.append(reason)


class Backend:
    """Records the requests to trials."""

    def __init__(self):
        self.devices: dict[int, int] = {}
        self.published: list[int] = []
        self.noted: list[str] = []


class Tuning:
    """A tuning by hand of stock random search, two seconds for each epoch."""

    def __init__(self, count=3, elastic=True, launch_s=0.0, **arguments):
        self.now_s, self.epoch, self.launch_s = 0.0, 0, launch_s
        arguments = {"num_devices": 4, "max_trials": count, "scaling": "linear", "clock": self.clock, **arguments}
        self.scheduler = make("stock random search", **arguments)
        self.backend = Backend()
        self.trials = []
        for trial_id in range(count):
            config = self.scheduler.suggest().config
            trial = Resizable(trial_id, config, self.backend) if elastic else Trial(trial_id, config, datetime.min)
            self.scheduler.on_trial_add(trial=trial)
            self.trials.append(trial)

    def clock(self):
        return self.now_s

    def report(self, *losses):
        """The next epoch of the trials, of those that are given a loss."""
        self.epoch, self.now_s = self.epoch + 1, self.now_s + 2.0
        first = {ST_SIGNAL_TO_REPORT_S: 2.0 + self.launch_s} if self.epoch == 1 else {}
        for trial, loss in zip(self.trials, losses, strict=True):
            if loss is not None:
                self.scheduler.on_trial_result(
                    trial=trial, result={"epoch": self.epoch, "loss": loss, ST_LAUNCH: 0, **first}
                )
        return dict(sorted(self.backend.devices.items()))
