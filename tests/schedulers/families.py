"""Every scheduler of the package in a small search, for tests of their common behaviour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import pytest
from syne_tune.config_space import uniform

from syne_hypersched import ASHA, PASHA, HyperSched, PublishedRules
from syne_hypersched.blackboxes import LearningCurve

MAX_T = 9
SPACE = {"x": uniform(0, 100)}


class Listed:
    """A searcher with only a few configurations."""

    def __init__(self, configs: Sequence[Mapping[str, Any]] = tuple({"x": x} for x in (2, 0, 3, 1))) -> None:
        self.configs = [dict(config) for config in configs]
        self.told: list[tuple[int, float]] = []

    def suggest(self):
        return self.configs.pop(0) if self.configs else None

    def on_trial_result(self, trial_id, config, metric, resource_level=None):
        self.told.append((trial_id, metric))

    def on_trial_complete(self, trial_id, config, metric, resource_level=None):
        pass

    def on_trial_error(self, trial_id):
        pass


def with_rules(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of HyperSched, which may include options of the published rules."""
    arguments = dict(arguments)
    names = [option.name for option in fields(PublishedRules) if option.name in arguments]
    if names:
        assert arguments["strategy"] == "published"
        arguments["strategy"] = PublishedRules(**{name: arguments.pop(name) for name in names})
    return arguments


def hypersched(strategy: str) -> Callable[..., HyperSched]:
    def make(num_devices=2, deadline_s=1000.0, max_t=MAX_T, **arguments):
        arguments = {"searcher": Listed(), "random_seed": 0, "strategy": strategy, **arguments}
        return HyperSched(
            SPACE, "loss", "epoch", max_t, num_devices=num_devices, deadline_s=deadline_s, scaling={1: 1, 8: 5.6},
            **with_rules(arguments),
        )  # fmt: skip

    return make


def asha(kind: str) -> Callable[..., ASHA]:
    def make(num_devices=2, deadline_s=None, max_t=MAX_T, **arguments):
        arguments = {"searcher": Listed(), "random_seed": 0, **arguments}
        if kind == "pasha":
            return PASHA(SPACE, "loss", "epoch", max_t, **arguments)
        return ASHA(SPACE, "loss", "epoch", max_t, type=kind, **arguments)

    return make


FAMILIES: dict[str, Callable[..., Any]] = {
    "adaptive": hypersched("adaptive"),
    "published": hypersched("published"),
    "stopping": asha("stopping"),
    "promotion": asha("promotion"),
    "pasha": asha("pasha"),
}


def on_real_backends(function: Any, local: Any) -> list[Any]:
    """Every scheduler with either backend of processes, as parameters; most of them run with the slow tests."""
    quick = {("adaptive", local), ("promotion", function)}
    return [
        pytest.param(name, backend, marks=() if (name, backend) in quick else pytest.mark.slow)
        for name in FAMILIES
        for backend in (function, local)
    ]


PAUSING = [name for name in FAMILIES if name != "stopping"]


class Curves:
    """A blackbox whose curves are made by a function of the configuration: levels and seconds, and reports of these.

    Parameters
    ----------
    levels
        Levels that a configuration reports.
    epoch_s
        Seconds between its reports, by configuration.
    change
        Changes the list of reports of a configuration.
    """

    elapsed_time_attr = "elapsed_s"

    def __init__(self, levels=range(1, MAX_T + 1), epoch_s=lambda x, level: 1.0, change=lambda x, reports: reports):
        self.levels, self.epoch_s, self.change = list(levels), epoch_s, change

    def learning_curve(self, config, max_resource=None, seed=0):
        x = config["x"]
        reports = [
            {"epoch": level, "loss": x + 1 / (index + 1)}
            for index, level in enumerate(self.levels)
            if max_resource is None or level <= max_resource
        ]
        reports = self.change(x, reports)
        return LearningCurve(tuple(reports), tuple(self.epoch_s(x, report.get("epoch")) for report in reports))
