"""A fleet in virtual time from any blackbox, and checks of its arguments."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from syne_tune.config_space import randint, uniform

from syne_hypersched import ElasticSimulatorBackend, LaunchCost
from syne_hypersched.backends import Failures
from syne_hypersched.backends.virtual._blackbox import CurveOf
from tests.backends.virtual.curves import RoundCurves
from tests.installed import skip_without

skip_without("huggingface_hub", reason="syne_tune.blackbox_repository needs it")

SPACE = {"x": uniform(0, 1), "n": randint(1, 3)}
EPOCHS = {"epoch": randint(1, 5)}


def tabular(num_seeds=1):
    from syne_tune.blackbox_repository.blackbox_tabular import BlackboxTabular

    hyperparameters = pd.DataFrame({"x": [0.25, 0.75], "n": [1, 2]})
    evaluations = np.zeros((2, num_seeds, 5, 2))
    for row in range(2):
        for seed in range(num_seeds):
            evaluations[row, seed, :, 0] = 10 * row + seed + 1 / np.arange(1, 6)
            evaluations[row, seed, :, 1] = (row + 2) * np.arange(1, 6)
    return BlackboxTabular(hyperparameters, SPACE, EPOCHS, evaluations, objectives_names=["loss", "elapsed_s"])


def surrogate():
    from sklearn.neighbors import KNeighborsRegressor
    from syne_tune.blackbox_repository import add_surrogate

    return add_surrogate(tabular(), KNeighborsRegressor(n_neighbors=1))


def from_function():
    from syne_tune.blackbox_repository.blackbox import from_function

    def evaluate(configuration, fidelity=None, seed=None):
        return {"loss": 10.0 + 1 / fidelity["epoch"], "elapsed_s": 3.0 * fidelity["epoch"]}

    return from_function(SPACE, evaluate, EPOCHS, ["loss", "elapsed_s"])


class OnesOwn:
    """The members that count, and no base class."""

    configuration_space = SPACE
    fidelity_values = (1, 2, 3, 4, 5)
    objectives_names = ("loss", "elapsed_s")

    def fidelity_name(self):
        return "epoch"

    def objective_function(self, configuration, fidelity=None, seed=None):
        return np.array([[10 + 1 / epoch, 3.0 * epoch] for epoch in self.fidelity_values])


@pytest.mark.parametrize("make", [tabular, surrogate, from_function, OnesOwn])
def test_any_blackbox(make):
    backend = ElasticSimulatorBackend(make(), "elapsed_s", 2)
    backend.start_trial({"x": 0.75, "n": 2, "unknown": 1})
    reports = [report for _ in range(5) for _, report in backend.fetch_status_results([0])[1]]
    assert [report["epoch"] for report in reports] == [1, 2, 3, 4, 5]
    assert [report["st_tuner_time"] for report in reports] == pytest.approx([3, 6, 9, 12, 15])
    assert [report["loss"] for report in reports] == pytest.approx([10 + 1 / epoch for epoch in range(1, 6)])


def test_a_repetition_is_chosen_by_the_seed():
    losses = []
    for seed in range(3):
        backend = ElasticSimulatorBackend(tabular(num_seeds=3), "elapsed_s", 2, seed=seed)
        backend.start_trial({"x": 0.25, "n": 1})
        losses += [report["loss"] for _, report in backend.fetch_status_results([0])[1]]
    assert losses == [1, 2, 3]


def test_a_configuration_may_bound_its_resource():
    curve_of = CurveOf(RoundCurves(20), "elapsed_s", "epochs_at_most", 0)
    assert len(curve_of({"epochs_at_most": 3}).epoch_s) == 3
    assert len(curve_of({}).epoch_s) == 20


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_devices": 0}, ValueError, "num_devices must be at least 1"),
        ({"num_devices": 2.0}, TypeError, "num_devices must be an integer"),
        ({"num_devices": True}, TypeError, "num_devices must be an integer"),
        ({"num_devices_per_trial": 3}, ValueError, "num_devices_per_trial must be from 1 to 2"),
        ({"num_devices_per_trial": 0}, ValueError, "num_devices_per_trial must be from 1 to"),
        ({"blackbox": {"loss": 1}}, TypeError, "blackbox must have the members"),
        ({"elapsed_time_attr": None, "blackbox": OnesOwn()}, TypeError, "elapsed_time_attr must name"),
        ({"launch_cost": 3.0}, TypeError, "launch_cost must be a LaunchCost"),
        ({"failures": 0.1}, TypeError, "failures must be"),
        ({"seed": 0.5}, TypeError, "seed must be an integer"),
        ({"scaling": "cubic"}, ValueError, "scaling must be one of"),
    ],
)
def test_an_argument_that_makes_no_sense_is_an_error(arguments, error, message):
    with pytest.raises(error, match=message):
        ElasticSimulatorBackend(
            **{"blackbox": RoundCurves(), "elapsed_time_attr": "elapsed_s", "num_devices": 2} | arguments
        )


def test_a_blackbox_without_resource_levels_cannot_be_simulated():
    blackbox = from_function()
    blackbox.fidelity_space = None
    with pytest.raises(ValueError, match="fidelity_space of one domain of integers"):
        ElasticSimulatorBackend(blackbox, "elapsed_s", 2)


def test_an_objective_that_the_blackbox_lacks_is_named():
    backend = ElasticSimulatorBackend(tabular(), "seconds", 2)
    with pytest.raises(ValueError, match="elapsed_time_attr must be one of loss, elapsed_s"):
        backend.start_trial({"x": 0.25, "n": 1})


def test_numpy_integers_are_integers():
    backend = ElasticSimulatorBackend(
        RoundCurves(), "elapsed_s", np.int64(2), launch_cost=LaunchCost(), failures=Failures(0.0), seed=np.int32(1)
    )
    assert type(backend.num_devices) is int
