"""The public part of the package: its names, and the help of its classes."""

from __future__ import annotations

import dataclasses
import inspect
import re

import numpy as np
import pytest

pytest.importorskip("torch")

from syne_hypersched import training

CLASSES = [value for name in training.__all__ if inspect.isclass(value := getattr(training, name))]


def public_members(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


def test_a_run_shows_what_a_script_calls_and_nothing_else():
    assert public_members(training.ElasticRun) == {
        "add", "device", "epochs", "is_main", "loader", "means", "noise_scale", "num_devices", "num_steps", "report",
        "rounds", "step", "track", "validating", "warm_up",
            "wrap",
    }  # fmt: skip
    with training.ElasticRun(reporter=lambda **report: None) as run:
        assert {name for name in vars(run) if not name.startswith("_")} == set()
    assert public_members(training.ElasticLoader) == {"dataset"}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_help_begins_with_an_example(kind):
    _, *paragraphs = inspect.getdoc(kind).split("\n\n")
    start = "\n\n".join(paragraphs[:3])
    assert ".. code-block:: python" in start or "::\n" in start or start.lstrip().startswith(">>>")


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_help_explains_every_argument_in_place(kind):
    functions = {name: value for name, value in vars(kind).items() if inspect.isfunction(value)}
    for name, function in functions.items():
        if name.startswith("_") and name != "__init__":
            continue
        doc = inspect.getdoc(kind if name == "__init__" else function) or ""
        if name == "__init__" and dataclasses.is_dataclass(kind):
            for field in dataclasses.fields(kind):
                assert re.search(rf"^(.*, )?{field.name}(,.*)?$", doc, re.MULTILINE), field.name
            continue
        for parameter in list(inspect.signature(function).parameters)[1:]:
            explained = re.search(rf"^(\*\*|.*, )?{parameter}(,.*)?$|^ *{parameter} *:", doc, re.MULTILINE)
            assert explained or f"``{parameter}``" in doc, f"{name} of {kind.__name__} does not explain {parameter}"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: training.split_batch(64.5, 2), "batch_size must be an integer, but got 64.5"),
        (lambda: training.split_batch(64, "2"), "num_devices must be an integer, but got '2'"),
        (lambda: training.split_batch(64, 2, True), "largest_local must be an integer, but got True"),
        (lambda: training.BatchDropout(p="0.5"), "p must be at least 0 and below 1, but got '0.5'"),
        (lambda: training.ElasticRun(keep=1.5), "keep must be an integer, but got 1.5"),
        (lambda: training.ElasticRun(keep=True), "keep must be an integer, but got True"),
        (lambda: training.ElasticRun(seed="a"), "seed must be an integer, but got 'a'"),
        (lambda: training.ElasticRun(3), "checkpoint_dir must be a path, but got 3"),
        (lambda: training.ElasticRun(reporter="print"), "reporter must be a function of the metrics, or None, but got"),
        (lambda: training.CheckpointFolder("folder", keep=1.5), "keep must be an integer, but got 1.5"),
        (
            lambda: training.GradientNoiseScale("weights", 2),
            "parameters must be tensors, such as model.parameters(), but",
        ),
        (
            lambda: training.GradientNoiseScale(None, 2),
            "parameters must be tensors, such as model.parameters(), but got",
        ),
        (
            lambda: training.GradientNoiseScale([1], 2),
            "parameters must be tensors, such as model.parameters(), but got",
        ),
        (lambda: training.GoodputBatchSize(None), "limits must be BatchLimits of a batch, but got None"),
        (lambda: training.learning_rate_factor("linear", "8", 4), "batch_size must be a number above 0, but got '8'"),
        (lambda: training.learning_rate_factor("linear", 8, None), "initial_batch_size must be a number above 0, but"),
        (
            lambda: training.learning_rate_factor("adascale", 8, 4, "x"),
            "noise_scale must be a number of at least 0 or N",
        ),
        (lambda: training.GradientNoiseScale([], batch_size=2.5), "batch_size must be an integer, but got 2.5"),
        (lambda: training.GradientNoiseScale([], 2, smoothing="x"), "smoothing must be at least 0 and below 1, but"),
    ],
)
def test_an_argument_of_the_wrong_type_is_named(call, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: training.ElasticRun(""), "checkpoint_dir must be a path, but got ''"),
        (
            lambda: training.ElasticRun(seed=2**64),
            "seed must be from -9223372036854775808 to 18446744073709551615, but got",
        ),
    ],
)
def test_an_argument_out_of_range_is_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_integers_of_numpy_are_integers():
    assert training.split_batch(np.int64(100), np.int32(2), np.int64(20)) == training.BatchPlan(2, 17, 2)
