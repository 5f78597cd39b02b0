"""Arguments of schedulers and of the simulation: numbers of any type, and errors."""

from __future__ import annotations

import json
from datetime import date
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from syne_tune.config_space import choice, finrange, loguniform, ordinal, randint, uniform

from syne_hypersched import ASHA, PASHA, ElasticSimulatorBackend, HyperSched, simulate
from syne_hypersched.blackboxes import TableBlackbox
from syne_hypersched.schedulers._arguments import checked_points
from tests.schedulers.families import FAMILIES, SPACE, Curves

POINT_SPACE = {
    "lr": loguniform(1e-4, 1), "n": randint(1, 9), "c": choice(["a", "b"]), "f": finrange(0.1, 0.9, 5),
    "o": ordinal([8, 16, 32]), "w": choice([0.1, 0.2]), "b": choice([True, False]), "constant": 7,
}  # fmt: skip
POINT = {"lr": 0.1, "n": 1, "c": "a", "f": 0.3, "o": 16, "w": 0.2, "b": True}


@pytest.mark.parametrize(
    "change",
    [
        {"lr": 1}, {"lr": np.float32(0.5)}, {"lr": Fraction(1, 2)}, {"n": 2.0}, {"n": np.int64(9)}, {"c": np.str_("b")},
        {"f": 0.45}, {"o": np.int32(8)}, {"o": 8.0}, {"w": 0.2000001}, {"b": np.bool_(False)}, {"constant": 8},
    ],
    ids=str,
)  # fmt: skip
def test_points_of_any_type_within_their_domains(change):
    assert checked_points([POINT | change], POINT_SPACE) == [POINT | change]


class Optimizer:
    """Can be made, but not out of another one."""


@pytest.mark.parametrize(
    ("categories", "type_makes"),
    [
        ([print, len], False), ([Optimizer, int], False), ([json, pytest], False),
        ([Optimizer(), Optimizer()], False), ([date(2020, 1, 1), date(2021, 1, 1)], False),
        (["a", "b"], True), ([0.5, float("nan")], True), ([Path("a"), Path("b")], True), ([(1,), (2, 3)], True),
        ([{"a": 1}, {"a": 2}], True), ([Fraction(1, 2), Fraction(1, 3)], True), ([np.float32(0.1)], True),
    ],
    ids=lambda value: type(value[0]).__name__ if isinstance(value, list) else "",
)  # fmt: skip
@pytest.mark.parametrize("make", [ASHA, PASHA])
def test_categories_that_no_trial_can_be_given_are_refused_by_name(make, categories, type_makes):
    space = {"lr": uniform(0, 1), "optimizer": choice(categories)}
    if not type_makes:
        with pytest.raises(ValueError, match=r"config_space must have categories .*'optimizer' has"):
            make(space, "loss", time_attr="epoch", max_t=9)
        return
    assert make(space, "loss", time_attr="epoch", max_t=9, random_seed=0).suggest().config["optimizer"] in categories


@pytest.mark.parametrize(
    ("change", "domain"),
    [
        ({"lr": 2.0}, r"\[0.0001, 1\]"), ({"lr": 0}, r"\[0.0001, 1\]"), ({"lr": float("nan")}, "lr"),
        ({"lr": "0.1"}, "lr"), ({"lr": None}, "lr"), ({"lr": True}, "lr"), ({"n": 2.5}, r"\[1, 9\]"), ({"n": 10}, "n"),
        ({"n": float("inf")}, "n"), ({"c": "d"}, r"\['a', 'b'\]"), ({"c": 1}, "c"), ({"c": ["a"]}, "c"),
        ({"f": 1.0}, "f"),
        ({"o": 9}, r"\[8, 16, 32\]"), ({"w": 0.3}, "w"), ({"w": "x"}, "w"), ({"b": "False"}, "b"),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("name", ["asha", "pasha", "hypersched"])
def test_points_outside_of_their_domains(change, domain, name):
    (hyperparameter,) = change
    arguments = (POINT_SPACE, "loss", "epoch", 9)
    make = {
        "asha": lambda points: ASHA(*arguments, points_to_evaluate=points),
        "pasha": lambda points: PASHA(*arguments, points_to_evaluate=points),
        "hypersched": lambda points: HyperSched(*arguments, 2, 60, points_to_evaluate=points),
    }[name]
    pattern = rf"points_to_evaluate\[1\]\['{hyperparameter}'\] must be in .*{domain}.*, but got "
    with pytest.raises(ValueError, match=pattern):
        make([POINT, POINT | change])


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(
    ("points", "error", "message"),
    [
        ([{}], ValueError, r"points_to_evaluate\[0\] must have the names of config_space, but lacks \['x'\]"),
        ([{"x": 1, "y": 2}], ValueError, r"has \['y'\] beyond it"),
        ([{"x": 1}, 3], TypeError, r"points_to_evaluate\[1\] must be a dictionary, but got 3"),
        ({"x": 1}, TypeError, "points_to_evaluate must be a list of dictionaries, but got {'x': 1}"),
        ("x", TypeError, "points_to_evaluate must be a list of dictionaries, but got 'x'"),
        (5, TypeError, "points_to_evaluate must be a list of dictionaries, but got 5"),
    ],
)
def test_points_that_are_none(name, points, error, message):
    with pytest.raises(error, match=message):
        FAMILIES[name](points_to_evaluate=points)


def test_points_among_the_arguments_of_the_searcher_are_checked_too():
    with pytest.raises(ValueError, match=r"points_to_evaluate\[0\]\['x'\] must be in \[0, 100\]"):
        ASHA(SPACE, "loss", "epoch", 9, searcher="kde", searcher_kwargs={"points_to_evaluate": [{"x": 101}]})


NUMBERS = {
    "max_t": (np.int32(9), np.float32(9.0), Fraction(9)),
    "grace_period": (np.int64(1), np.float64(2.0)),
    "reduction_factor": (np.int8(3), np.float16(2.5)),
    "random_seed": (np.int64(3), np.uint32(7)),
    "max_paused": (np.int64(5),),
    "num_devices": (np.int64(2), np.uint8(2)),
    "deadline_s": (np.float32(60.0), np.int64(60), Fraction(60)),
    "brackets": (np.int64(1),),
    "allocation_grid": (np.int64(2),),
    "recharge_period": (np.int16(2),),
    "fixed_exploration": (np.float32(0.5), np.int64(1)),
}
CASES = [
    (name, argument, number)
    for name in FAMILIES
    for argument, numbers in NUMBERS.items()
    for number in numbers
    if (argument != "max_paused" or name != "stopping")
    and (argument != "brackets" or name in ("stopping", "promotion"))
    and (argument not in ("allocation_grid", "recharge_period", "fixed_exploration") or name == "published")
]


@pytest.mark.parametrize(("name", "argument", "number"), CASES, ids=str)
def test_numbers_of_numpy_do_as_well(name, argument, number):
    scheduler = FAMILIES[name](**{"searcher": "random_search", argument: number})
    json.dumps(scheduler.metadata())
    simulation = simulate(scheduler, Curves(), num_devices=2, deadline_s=30.0)
    assert simulation.num_results > 0


@pytest.mark.parametrize(("name", "argument"), sorted({case[:2] for case in CASES}), ids=str)
@pytest.mark.parametrize("wrong", ["9", [9], 1j, True])
def test_what_is_no_number_is_refused_by_name(name, argument, wrong):
    if argument == "num_devices" and name not in ("adaptive", "published"):
        pytest.skip("no argument of this scheduler")
    if argument == "deadline_s" and name not in ("adaptive", "published"):
        pytest.skip("no argument of this scheduler")
    with pytest.raises(TypeError, match=f"{argument} must be "):
        FAMILIES[name](**{argument: wrong})


@pytest.mark.parametrize("name", FAMILIES)
def test_flags_of_numpy_do_as_well(name):
    assert FAMILIES[name](do_minimize=np.bool_(False)).metric_mode() == "max"


@pytest.mark.parametrize("name", FAMILIES)
def test_arguments_of_a_searcher_are_a_dictionary(name):
    with pytest.raises(TypeError, match="searcher_kwargs must be a dictionary or None, but got 5"):
        FAMILIES[name](searcher="kde", searcher_kwargs=5)


def test_the_simulation_takes_numbers_of_numpy(tmp_path):
    simulation = simulate(
        FAMILIES["adaptive"](num_devices=np.int64(8), searcher="random_search", deadline_s=np.float32(40.0), max_t=81),
        Curves(range(1, 82)),
        num_devices=np.int64(8),
        n_workers=np.int32(8),
        deadline_s=np.float32(40.0),
        max_num_trials=np.int64(50),
        max_num_results=np.int64(500),
        num_devices_per_trial=np.int8(1),
        seed=np.int64(0),
        events_path=tmp_path / "events.jsonl",
    )
    simulation.save(tmp_path)
    assert type(simulation.num_devices) is int
    assert simulation.results.st_num_devices.max() > 1
    ElasticSimulatorBackend(Curves(), "elapsed_s", np.int64(2), seed=np.int64(1), num_devices_per_trial=np.int64(1))


@pytest.mark.parametrize(
    ("argument", "wrong", "message"),
    [
        ("num_devices", "2", "num_devices must be an integer, but got '2'"),
        ("num_devices", 2.0, "num_devices must be an integer, but got 2.0"),
        ("n_workers", "2", "n_workers must be an integer"),
        ("deadline_s", "60", "deadline_s must be a positive number of seconds, but got '60'"),
        ("max_num_trials", "3", "max_num_trials must be an integer"),
        ("max_num_results", 3.0, "max_num_results must be an integer"),
        ("num_devices_per_trial", 1.0, "num_devices_per_trial must be an integer"),
        ("seed", "0", "seed must be an integer"),
        ("launch_cost", 3.0, "launch_cost must be a LaunchCost"),
        ("failures", 0.1, "failures must be Failures or None"),
        ("elapsed_time_attr", 5, "elapsed_time_attr must name the objective"),
        ("on_result", 5, "on_result must be a function or None"),
        ("max_resource_attr", 5, "max_resource_attr must be the name of an entry of the configuration, or None"),
        ("blackbox", {"a": 1}, "blackbox must have the members of a blackbox"),
        ("scheduler", "asha", "scheduler must be a scheduler, with suggest"),
    ],
)
def test_the_simulation_refuses_what_it_cannot_use(argument, wrong, message):
    arguments = {"scheduler": FAMILIES["adaptive"](), "blackbox": Curves(), "num_devices": 2, argument: wrong}
    with pytest.raises(TypeError, match=message):
        simulate(**arguments)


def table(**changes):
    arguments = {
        "configurations": [{"x": 1}, {"x": 2}],
        "metrics": {"loss": [[1.0, 0.5], [2.0, 1.0]]},
        "elapsed_s": [[1.0, 2.0], [1.0, 2.0]],
        **changes,
    }
    return TableBlackbox(**arguments)


@pytest.mark.parametrize("levels", [[0, 1], [-2, 0], [np.int64(0), np.float32(0.5)], [1e-3, 2.5]], ids=str)
def test_a_table_takes_any_levels(levels):
    blackbox = table(levels=levels)
    assert list(blackbox.levels) == [float(level) for level in levels]
    (domain,) = blackbox.fidelity_space.values()
    assert (domain.lower, domain.upper) == (levels[0], levels[1])
    assert [report["epoch"] for report in blackbox.learning_curve({"x": 1}).reports] == list(blackbox.levels)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"levels": [1, float("nan")]}, ValueError, "levels must be 2 ascending numbers, all finite"),
        ({"levels": ["a", "b"]}, TypeError, "levels must be numbers"),
        ({"levels": 3}, TypeError, "levels must be numbers"),
        ({"time_attr": 3}, TypeError, "time_attr must be a name"),
        ({"elapsed_time_attr": None}, TypeError, "elapsed_time_attr must be a name"),
        ({"configurations": [{"x": 1}, 3]}, TypeError, r"configurations\[1\] must be a dictionary"),
        ({"metrics": [[1.0, 0.5], [2.0, 1.0]]}, TypeError, "metrics must be a dictionary"),
        ({"configuration_space": [1]}, TypeError, "configuration_space must be a dictionary"),
    ],
)
def test_a_table_refuses_what_it_cannot_use(changes, error, message):
    with pytest.raises(error, match=message):
        table(**changes)


def test_a_table_with_a_space_of_floats():
    assert table(configuration_space={"x": uniform(0, 3)}).row({"x": 1.2}) == 0
