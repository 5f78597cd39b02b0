"""A tuning with HyperSched by hand."""

from __future__ import annotations

from datetime import datetime

from syne_tune.backend.trial_status import Status, Trial
from syne_tune.config_space import randint, uniform

from syne_hypersched.backends.shared.elastic import ElasticTrial
from syne_hypersched.schedulers.hypersched._hypersched import HyperSched
from tests.schedulers.families import with_rules

SPACE = {"lr": uniform(0, 1), "width": randint(1, 8)}


class Wishes:
    """The part of a backend that receives requests."""

    def __init__(self):
        self.devices = {}
        self.published = []
        self.noted = []
        self.time_attrs = []

    def wished_devices(self, trial_id):
        return self.devices.get(trial_id, 1)

    def wish_devices(self, trial_id, num_devices):
        self.devices[trial_id] = num_devices

    def follow(self, time_attr):
        self.time_attrs.append(time_attr)

    def publish(self, trial_id, result):
        self.published.append((trial_id, result["loss"]))

    def note(self, trial_id, what, reason, numbers):
        self.noted.append((trial_id, what, reason, numbers))


class Tuning:
    """A tuning by hand: one call per line of a test."""

    def __init__(self, elastic=True, **changes):
        arguments = {"max_t": 100, "num_devices": 4, "deadline_s": 1000, "scaling": {1: 1, 8: 8}, "random_seed": 3}
        self.now_s = 0.0
        if "clock" not in changes:
            changes["clock"] = lambda: self.now_s
        self.scheduler = HyperSched(
            SPACE, "loss", "epoch", **with_rules({"strategy": "published", **arguments, **changes})
        )
        self.wishes = Wishes()
        self.elastic = elastic
        self.trials = []
        self.results = []

    def start(self, count=1):
        for _ in range(count):
            suggestion = self.scheduler.suggest()
            assert suggestion is not None
            assert suggestion.spawn_new_trial_id
            arguments = {
                "trial_id": len(self.trials),
                "config": suggestion.config,
                "creation_time": datetime(2024, 1, 1),
            }
            if self.elastic:
                trial = ElasticTrial(**arguments, metrics=[], status=Status.in_progress, backend=self.wishes)
            else:
                trial = Trial(**arguments)
            self.trials.append(trial)
            self.scheduler.on_trial_add(trial=trial)

    def report(self, trial_id, epoch, loss, now_s=None, **entries):
        self.now_s = self.now_s if now_s is None else now_s
        result = {"loss": loss, "epoch": epoch, **entries}
        self.results.append(result)
        trial = self.trials[trial_id]
        decision = self.scheduler.on_trial_result(trial=trial, result=result)
        if decision != "CONTINUE":
            self.scheduler.on_trial_remove(trial=trial)
        return decision

    def decided(self, what):
        return [decision for decision in self.scheduler.decisions if decision.what == what]
