"""The public part of the package: its names, and the help of its classes."""

from __future__ import annotations

import dataclasses
import inspect
import re

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
            source = inspect.getsource(kind)
            for field in dataclasses.fields(kind):
                assert re.search(rf"^    {field.name}: .*\n    \"\"\"", source, re.MULTILINE), field.name
            continue
        for parameter in list(inspect.signature(function).parameters)[1:]:
            explained = re.search(rf"^(\*\*|.*, )?{parameter}(,.*)?$|^ *{parameter} *:", doc, re.MULTILINE)
            assert explained or f"``{parameter}``" in doc, f"{name} of {kind.__name__} does not explain {parameter}"
