"""Public classes and functions refuse arguments that make no sense, by name, before anything is done."""

from __future__ import annotations

import numpy as np
import pytest
from syne_tune.config_space import uniform

from syne_hypersched import (
    ASHA,
    PASHA,
    Adaptive,
    ElasticLocalBackend,
    ElasticSimulatorBackend,
    HyperSched,
    ResizeBest,
    simulate,
)
from syne_hypersched.blackboxes import load_digits

SPACE = {"x": uniform(0, 1)}
NO_DIMENSIONS = np.array(2)
"""It claims to be iterable, and is not."""


def local(**arguments):
    return ElasticLocalBackend(__file__, **{"num_devices": 1, "device_type": "cpu", **arguments})


def virtual(**arguments):
    return ElasticSimulatorBackend(load_digits(), **{"elapsed_time_attr": "elapsed_s", "num_devices": 2, **arguments})


def simulated(**arguments):
    table = load_digits()
    scheduler = ASHA(table.configuration_space, "val_accuracy", "epoch", max_t=9, do_minimize=False)
    return simulate(scheduler, table, **{"num_devices": 2, "deadline_s": 0.1, **arguments})


def resized(**arguments):
    return ResizeBest(ASHA(SPACE, "loss", "epoch", max_t=9), **arguments)


@pytest.mark.parametrize("make", [ASHA, PASHA, HyperSched])
def test_points_without_dimensions(make):
    with pytest.raises(TypeError, match="points_to_evaluate must be a list of dictionaries, but got array"):
        make(SPACE, "loss", "epoch", 9, points_to_evaluate=NO_DIMENSIONS)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (local, "gpus_to_use"),
        (local, "preload"),
        (Adaptive, "devices_over_time"),
        (virtual, "devices_over_time"),
        (simulated, "devices_over_time"),
    ],
)
def test_sequences_without_dimensions(make, name):
    with pytest.raises(TypeError, match=rf"^{name} must be .*, but got array"):
        make(**{name: NO_DIMENSIONS})


@pytest.mark.parametrize("number", [10**30, 10**400])
@pytest.mark.parametrize("make", [virtual, simulated])
def test_a_simulation_of_more_devices_than_memory_can_hold(make, number):
    with pytest.raises(ValueError, match=r"^num_devices must be at most 1000000, the most of a simulation, but got 10"):
        make(num_devices=number)


@pytest.mark.parametrize("make", [virtual, simulated])
def test_a_column_without_a_name(make):
    with pytest.raises(TypeError, match=r"^elapsed_time_attr must name the objective .*, but got ''"):
        make(elapsed_time_attr="")


@pytest.mark.filterwarnings("ignore:ResizeBest is experimental")
@pytest.mark.parametrize("value", ["", 0, False, [], {}, np.array([1, 2])])
def test_what_counts_as_false_is_not_what_was_not_given(value):
    with pytest.raises(TypeError, match=r"^time_attr must be the name of an entry of the reports, but got "):
        resized(time_attr=value)


@pytest.mark.parametrize(("path", "error"), [(3, TypeError), (b"x", TypeError), ("", ValueError), (".", ValueError)])
def test_a_file_for_events_is_looked_at_before_the_simulation(path, error):
    with pytest.raises(error, match=r"^events_path must be a file to be written, but "):
        simulated(events_path=path)


def test_truth_values_of_numpy_are_truth_values():
    assert local(share_devices=np.bool_(True))
    with pytest.raises(TypeError, match=r"^share_devices must be True, False or None, but got 1"):
        local(share_devices=1)
