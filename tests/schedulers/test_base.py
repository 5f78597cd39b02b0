from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import dill
import numpy as np
import pytest
from syne_tune.backend.trial_status import Trial, TrialResult
from syne_tune.config_space import (
    Domain,
    Float,
    choice,
    finrange,
    loguniform,
    ordinal,
    postprocess_config,
    quniform,
    randint,
    uniform,
)
from syne_tune.config_space import config_space_from_json_dict as from_json_dict

from syne_hypersched import ASHA, PASHA, HyperSched
from syne_hypersched.contract import ResizableTrial
from syne_hypersched.schedulers._reports import Usable
from syne_hypersched.schedulers.base import MultiFidelityScheduler, _completed, as_json

SPACE = {"lr": loguniform(1e-4, 1), "n": randint(1, 9), "c": choice(["a", "b"]), "constant": 7}
CONFIG = {"lr": 0.1, "n": 1, "c": "a", "constant": 7}


class RecordedTrial(Trial):
    """An elastic trial that records requests."""

    num_devices = 1

    def __init__(self, trial_id: int) -> None:
        super().__init__(trial_id, dict(CONFIG), datetime(2026, 1, 1))
        self.followed: list[str] = []
        self.published: list[Mapping[str, Any]] = []

    def resize(self, num_devices: int) -> None:
        raise AssertionError("nothing here resizes a trial")

    def follow(self, time_attr: str) -> None:
        self.followed.append(time_attr)

    def publish(self, result: Mapping[str, Any]) -> None:
        self.published.append(result)


def make(**kwargs: Any) -> MultiFidelityScheduler:
    arguments = {"config_space": SPACE, "metric": "loss", "time_attr": "epoch", "max_t": 27} | kwargs
    return MultiFidelityScheduler(**arguments)


@pytest.mark.parametrize("scheduler", [HyperSched, ASHA, PASHA])
def test_a_metric_that_seems_to_be_optimised_in_the_wrong_direction_is_warned_of_once(scheduler, caplog):
    metric = f"accuracy {scheduler.__name__}"  # a name that no other test has told
    for _ in range(2):
        scheduler(SPACE, metric=metric, time_attr="epoch", max_t=27)
    scheduler(SPACE, metric=metric, time_attr="epoch", max_t=27, do_minimize=False)
    scheduler(SPACE, metric=f"loss {scheduler.__name__}", time_attr="epoch", max_t=27)
    scheduler(SPACE, metric=f"rmse {scheduler.__name__}", time_attr="epoch", max_t=27, do_minimize=False)
    assert [record.getMessage() for record in caplog.records] == [
        (
            f"The metric {metric!r} is minimised, although a higher value seems to be better. If that is so, give "
            "do_minimize=False."
        ),
        (
            f"The metric 'rmse {scheduler.__name__}' is maximised, although a lower value seems to be better. If "
            "that is so, give do_minimize=True."
        ),
    ]


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"config_space": [1]}, TypeError, r"config_space must be a dictionary, but got \[1\]"),
        ({"config_space": {5: uniform(0, 1)}}, TypeError, "config_space must have names of hyperparameters as keys"),
        (
            {"config_space": {"x": uniform(0, 1), "st_checkpoint_dir": "a"}},
            ValueError,
            "config_space must not have the name 'st_checkpoint_dir'",
        ),
        ({"metric": "epoch", "time_attr": "epoch"}, ValueError, "metric must be another entry of the reports"),
        ({"config_space": {"a": 1}}, ValueError, "config_space must have at least one domain"),
        ({"metric": ""}, TypeError, "metric must be the name of an entry of the reports, but got ''"),
        ({"time_attr": 3}, TypeError, "time_attr must be the name of an entry of the reports, but got 3"),
        ({"max_t": 0}, ValueError, "max_t must be a finite number greater than 0, but got 0"),
        ({"max_t": math.inf}, ValueError, "max_t must be a finite number greater than 0, but got inf"),
        ({"max_t": "81"}, TypeError, "max_t must be a finite number greater than 0, but got '81'"),
        ({"max_t": True}, TypeError, "max_t must be a finite number greater than 0, but got True"),
        ({"do_minimize": "min"}, TypeError, "do_minimize must be True or False, but got 'min'"),
        ({"grace_period": 0}, ValueError, "grace_period must be a finite number greater than 0, but got 0"),
        ({"grace_period": 28}, ValueError, "grace_period must be at most max_t = 27, but got 28"),
        (
            {"reduction_factor": 1.0},
            ValueError,
            r"reduction_factor must be a finite number .* than 1, but got 1\.0",
        ),
        ({"random_seed": -1}, ValueError, "random_seed must not be negative, but got -1"),
        ({"random_seed": 1.5}, TypeError, r"random_seed must be an integer, but got 1\.5"),
        ({"searcher": "grid"}, ValueError, "searcher must be one of random_search, .* but got 'grid'"),
        ({"searcher": None}, TypeError, r"searcher must be a name or a searcher object, but got None without suggest"),
    ],
)
def test_refuses_bad_arguments(kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(**kwargs)


def test_incumbent_is_the_best_finite_report_and_is_published() -> None:
    class Recording(MultiFidelityScheduler):
        def _on_report(self, trial: Trial, result: dict[str, Any], report: Usable) -> str:
            return str(self._update_incumbent(trial, result, report))

    scheduler = Recording(SPACE, "loss", "epoch", 27, do_minimize=False)
    first, second = RecordedTrial(0), RecordedTrial(1)
    assert isinstance(first, ResizableTrial)
    changed = [
        scheduler.on_trial_result(trial, {"loss": metric, "epoch": epoch, "extra": "x"})
        for trial, metric, epoch in [(first, math.nan, 1), (first, 0.5, 2), (second, 0.5, 1), (second, 0.75, 2)]
    ]
    assert changed == ["False", "True", "False", "True"]
    assert scheduler.incumbent is not None
    assert (scheduler.incumbent.trial_id, scheduler.incumbent.value, scheduler.incumbent.resource) == (1, -0.75, 2)
    assert scheduler.incumbent.result == {"loss": 0.75, "epoch": 2, "extra": "x"}
    assert [len(trial.published) for trial in (first, second)] == [1, 1]


def test_a_trial_of_any_backend_is_followed_where_it_can_be() -> None:
    scheduler = make()
    trial = RecordedTrial(0)
    scheduler.on_trial_add(trial=trial)
    scheduler.on_trial_add(trial=Trial(1, dict(CONFIG), datetime(2026, 1, 1)))
    assert trial.followed == ["epoch"]


@pytest.mark.parametrize("searcher", ["random_search", "regularized_evolution"])
def test_metadata_is_json(searcher: str) -> None:
    scheduler = make(
        searcher=searcher,
        random_seed=np.int64(5),
        max_t=np.float64(27),
        points_to_evaluate=[{"lr": np.float32(0.5), "n": np.int64(2), "c": "a"}],
    )
    metadata = json.loads(json.dumps(scheduler.metadata()))
    assert metadata["scheduler_name"] == "MultiFidelityScheduler"
    assert metadata["metric_names"] == ["loss"]
    assert metadata["metric_mode"] == "min"
    assert metadata["scheduler_kwargs"] == {
        "metric": "loss",
        "time_attr": "epoch",
        "max_t": 27.0,
        "do_minimize": True,
        "searcher": searcher,
        "searcher_kwargs": None,
        "points_to_evaluate": [{"lr": 0.5, "n": 2, "c": "a"}],
        "random_seed": 5,
        "grace_period": 1,
        "reduction_factor": 3,
        "max_paused": None,
    }
    restored = from_json_dict(json.loads(metadata["config_space"]))
    assert isinstance(restored["lr"], Float)
    assert restored["constant"] == 7


def test_one_seed_one_sequence_and_no_process_wide_generator_moves() -> None:
    def draw(seed: int | None) -> tuple[Any, Any, int]:
        scheduler = make(random_seed=seed)
        return [scheduler._new_config() for _ in range(5)], scheduler.random_state.rand(), scheduler.random_seed

    random.seed(1)
    np.random.seed(1)
    python_state, numpy_state = random.getstate(), np.random.get_state()[1].tolist()
    first, again, other, unseeded = draw(3), draw(3), draw(4), draw(None)
    assert first == again
    assert first[0] != other[0]
    assert first[1] != other[1]
    # A scheduler without a seed can be repeated afterwards, with the seed that it drew.
    assert draw(unseeded[2]) == unseeded
    assert (random.getstate(), np.random.get_state()[1].tolist()) == (python_state, numpy_state)


def test_configurations_are_complete_and_typed() -> None:
    config = make(points_to_evaluate=[{"lr": 1, "n": 2.0, "c": "b"}])._new_config()
    assert config == {"lr": 1.0, "n": 2, "c": "b", "constant": 7}
    assert config is not None
    assert isinstance(config["lr"], float)
    assert isinstance(config["n"], int)


def test_survives_dill() -> None:
    scheduler = make(random_seed=1)
    scheduler._new_config()
    copy = dill.loads(dill.dumps(scheduler))
    assert [copy._new_config() for _ in range(3)] == [scheduler._new_config() for _ in range(3)]
    assert copy.random_state.rand() == scheduler.random_state.rand()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("Failed", "trial 0 has failed"),
        ("Stopped", "trial 0 was stopped, not by the scheduler: because the tuning ends, or from outside"),
        (None, "trial 0 has failed or was stopped from outside"),
    ],
)
def test_a_trial_that_was_stopped_at_the_end_is_not_called_failed(status, said, caplog):
    """A tuner that waits for its trials tells of those that the deadline has stopped as of errors."""
    scheduler = make()
    config = dict(CONFIG)
    trial = Trial(0, config, datetime(2026, 1, 1))
    if status is not None:
        trial = TrialResult(0, config, datetime(2026, 1, 1), [], status)
    scheduler.on_trial_add(trial=trial)
    scheduler.on_trial_error(trial)
    assert [record.getMessage() for record in caplog.records if "trial 0" in record.getMessage()] == [said]


@pytest.mark.parametrize("seed", range(5))
def test_a_configuration_is_completed_and_cast_as_syne_tune_does_it(seed):
    space = SPACE | {"step": quniform(0, 1, 0.1), "level": finrange(0, 1, 5), "order": ordinal([1, 2, 4])}
    state = np.random.RandomState(seed)
    config = {name: domain.sample(random_state=state) for name, domain in space.items() if isinstance(domain, Domain)}
    for given in (
        config,
        config | {"lr": np.float64(config["lr"]), "n": float(config["n"])},
        config | {"constant": 8, "other": 1},
    ):
        completed, expected = _completed(given, space), postprocess_config(given, space)
        assert list(completed.items()) == list(expected.items())
        assert [type(value) for value in completed.values()] == [type(value) for value in expected.values()]


def test_what_becomes_a_value_of_json_is_a_copy():
    points = [{"lr": 0.1, "c": "a"}, {"lr": np.float32(0.5), 3: None}]
    copied = as_json(points)
    assert copied == [{"lr": 0.1, "c": "a"}, {"lr": 0.5, "3": None}]
    copied[0]["lr"] = 1.0
    assert points[0]["lr"] == 0.1
    assert type(copied[1]["lr"]) is float
