"""Public classes and functions refuse arguments that make no sense, by name, before anything is done."""

from __future__ import annotations

import numpy as np
import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import uniform

from syne_hypersched import (
    ASHA,
    PASHA,
    Adaptive,
    Deadline,
    ElasticLocalBackend,
    ElasticSimulatorBackend,
    HyperSched,
    ResizeBest,
    simulate,
)
from syne_hypersched.blackboxes import (
    TableBlackbox,
    infer_domain,
    learning_curve,
    load_digits,
    load_from_repository,
    read_table,
    synthetic_nasbench201,
    with_noise,
)
from syne_hypersched.checkpoint_folder import CheckpointFolder
from syne_hypersched.experiments import format_trials, launch_costs_s
from syne_hypersched.recovery import spent_time
from syne_hypersched.replay import (
    ReplayScenario,
    brief_scenarios,
    default_scenarios,
    describe_briefly,
    describe_replay,
    replay_scenarios,
    run_curves,
)
from syne_hypersched.tuning import (
    demo_job,
    parse_cluster_devices,
    parse_devices,
    parse_duration,
    parse_resource,
    parse_space,
)

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


@pytest.mark.parametrize(
    ("parse", "option"),
    [
        (parse_duration, "--deadline"),
        (parse_resource, "--resource"),
        (parse_devices, "--devices"),
        (parse_cluster_devices, "--devices"),
        (lambda value: demo_job(60, devices=0 if value is None else value), "--devices"),
    ],
)
@pytest.mark.parametrize("value", [None, 3, 0, 2.5, [], b"4", np.int64(3)])
def test_what_is_read_from_text_is_text(parse, option, value):
    with pytest.raises(TypeError, match=rf"^{option} must be a text, but got "):
        parse(value)


@pytest.mark.parametrize("texts", [None, 3, "lr=log(1e-4,1e-1)", b"lr", NO_DIMENSIONS, [1], [None], np.array([1, 2])])
def test_a_space_is_a_list_of_texts(texts):
    with pytest.raises(TypeError, match=r"^--space must be a list of texts, such as "):
        parse_space(texts)


@pytest.mark.parametrize("devices", ["", " "])
def test_devices_that_are_empty_are_not_all_of_them(devices):
    with pytest.raises(ValueError, match=r"^--devices must be "):
        demo_job(60, devices=devices)


@pytest.mark.parametrize("values", [None, 3, "abc", b"x", {"a": 1}, NO_DIMENSIONS, [[1], [2]], [1, "a"], [None, 1]])
def test_a_domain_is_inferred_from_values_that_can_be_sorted(values):
    with pytest.raises(TypeError, match=r"^values must be "):
        infer_domain(values)


def test_a_domain_of_no_values():
    with pytest.raises(ValueError, match=r"^values must have at least one value, but got none"):
        infer_domain([])


def table(**arguments):
    return TableBlackbox(
        [{"a": 1}, {"a": 2}], **{"metrics": {"loss": [[1.0], [2.0]]}, "elapsed_s": [[1], [1]], **arguments}
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", None), ("name", 3), ("description", None), ("is_synthetic", "no"), ("is_synthetic", 1),
        ("metrics", {1: [[1.0], [2.0]]}), ("speed_up", 2), ("speed_up", "12"), ("speed_up", [1, 2]),
        ("speed_up", np.array([1, 2])), ("speed_up", {1: 1.0, 2: 1.8}),
    ],
)  # fmt: skip
def test_members_of_a_table(name, value):
    with pytest.raises(TypeError, match=rf"^{name} must be "):
        table(**{name: value})
    assert table(speed_up=[None, {1: 1.0, 2: 1.8}], is_synthetic=np.bool_(True), description="").is_synthetic is True


@pytest.mark.parametrize("dataset", [[], {}, None, 3, "cifar", np.array([1, 2])])
def test_a_data_set_without_that_name(dataset):
    with pytest.raises(ValueError, match=r"^dataset must be one of 'cifar10', "):
        synthetic_nasbench201(dataset)


@pytest.mark.parametrize("path", [None, 3, [], NO_DIMENSIONS])
def test_files_and_folders_are_named_by_paths(path):
    with pytest.raises(TypeError, match=r"^path must be a"):
        read_table(path)
    with pytest.raises(TypeError, match=r"^path must be the path of a folder, but got"):
        CheckpointFolder(path)
    with pytest.raises(TypeError, match=r"^path must be the path of a folder, but got"):
        load_from_repository("nasbench201", path=3 if path is None else path)
    with pytest.raises(TypeError, match=r"^name must be "):
        load_from_repository(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("table", "digits"), ("table", None), ("metric", None), ("true_metric", None), ("true_metric", []),
     ("num_seeds", 1.5)],
)  # fmt: skip
def test_noise_is_for_a_metric_of_a_table(name, value):
    arguments = {"table": load_digits(), "metric": "val_accuracy", "sd": 0.1, "true_metric": "true", name: value}
    with pytest.raises(TypeError, match=rf"^{name} must be "):
        with_noise(**arguments)


@pytest.mark.parametrize(
    ("name", "value"),
    [("config", None), ("config", "a"), ("config", [1]), ("max_resource", "3"), ("seed", None), ("seed", 0.5)],
)
def test_a_curve_is_looked_up_by_a_configuration(name, value):
    digits = load_digits()
    arguments = {"config": digits.configurations[0], "elapsed_time_attr": "elapsed_s", name: value}
    with pytest.raises(TypeError, match=rf"^{name} must be a"):
        learning_curve(digits, **arguments)


def test_noise_that_memory_cannot_hold():
    with pytest.raises(ValueError, match=r"^num_seeds must be from 1 to 1000000, but got 10"):
        with_noise(load_digits(), "val_accuracy", 0.1, "true", num_seeds=10**40)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("label", None, TypeError), ("scheduler", "hyperband", ValueError), ("num_devices", "2", TypeError),
        ("num_devices", 0, ValueError), ("deadline_s", "60", TypeError), ("deadline_s", -1, ValueError),
        ("deadline_s", float("nan"), ValueError), ("grace_period", "1", TypeError), ("grace_period", 0, ValueError),
        ("kwargs", "policy", TypeError),
    ],
)  # fmt: skip
def test_a_scenario_of_a_replay(name, value, error):
    arguments = {"label": "as it was", "scheduler": "asha", "num_devices": 2, "deadline_s": 60.0, name: value}
    with pytest.raises(error, match=rf"^{name} must be "):
        ReplayScenario(**arguments)


@pytest.mark.parametrize("value", ["my-run", None, 3])
def test_a_replay_is_of_an_experiment_that_was_read(value):
    with pytest.raises(TypeError, match=r"^run must be an experiment that load_run has read, but got "):
        run_curves(value)
    for function in (default_scenarios, brief_scenarios):
        with pytest.raises(TypeError, match=r"^known must be what run_curves returns, but got "):
            function(value)
    for function in (replay_scenarios, describe_replay, describe_briefly):
        with pytest.raises(TypeError, match=r"^known must be what run_curves returns, but got "):
            function(value, [])


@pytest.mark.parametrize("value", ["my-run", None, 3, [1]])
def test_costs_of_launches_are_of_what_they_held(value):
    with pytest.raises(TypeError, match=r"held must be (one of )?what holdings returns, but got "):
        launch_costs_s([], value)


@pytest.mark.parametrize("value", ["80", 80.0, []])
def test_columns_of_a_terminal_are_counted(value):
    with pytest.raises(TypeError, match=r"^columns must be an integer, but got "):
        format_trials([], "loss", "epoch", columns=value)


@pytest.mark.parametrize("value", ["my-run", 3])
def test_time_is_spent_by_a_tuner(value):
    with pytest.raises(TypeError, match=r"^tuner must be a syne_tune.Tuner or None, but got "):
        spent_time("my-run", tuner=value)


def test_a_deadline_is_for_a_backend_and_no_other_part_of_a_tuner(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    scheduler = ASHA(SPACE, "loss", "epoch", max_t=9)
    tuner = Tuner(virtual(), scheduler, StoppingCriterion(max_num_trials_started=1), n_workers=1)
    for other in (scheduler, tuner):
        with pytest.raises(TypeError, match=r"^trial_backend must be the backend of the tuner, an object, but got "):
            Deadline(60, trial_backend=other)
