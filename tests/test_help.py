"""``help()`` of each public class begins with an example; every argument and field is explained where it is."""

from __future__ import annotations

import ast
import dataclasses
import doctest
import importlib
import inspect
import re
import sys
import textwrap

import pytest

PACKAGES = [
    "syne_hypersched",
    *(
        f"syne_hypersched.{name}"
        for name in ("blackboxes", "check", "cli", "experiments", "recovery", "replay", "schedulers", "simulation")
    ),
    "syne_hypersched.experiments.page",
    "syne_hypersched.testing",
    "syne_hypersched.tuning",
]

PUBLIC = {
    f"{member.__module__}.{name}": member
    for package in map(importlib.import_module, PACKAGES)
    for name in package.__all__
    for member in [getattr(package, name)]
    if callable(member) and not getattr(member, "_is_protocol", False)
    # Errors are not made by users.
    if not (inspect.isclass(member) and issubclass(member, BaseException))
}

CLASSES = {
    f"{member.__module__}.{name}": member
    for package in map(importlib.import_module, PACKAGES)
    for name in package.__all__
    for member in [getattr(package, name)]
    if inspect.isclass(member)
}
FIELDS = {name: member for name, member in PUBLIC.items() if dataclasses.is_dataclass(member)}


def explained(member: object) -> set[str]:
    """Names that the sections of a docstring explain."""
    text = inspect.getdoc(member) or ""
    start = re.search(r"^(Parameters|Attributes)\n-+$", text, re.M)
    groups = re.findall(r"^([*\w][*\w, ]*)\n {4}\S", text[start.start() :], re.M) if start else []
    return {name.strip().lstrip("*") for names in groups for name in names.split(",")}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_argument_of_several_is_explained(name):
    parameters = {each for each in inspect.signature(PUBLIC[name]).parameters if not each.startswith("_")}
    if len(parameters) > 1 or inspect.isclass(PUBLIC[name]):
        assert parameters - {"args", "kwargs"} <= explained(PUBLIC[name])


@pytest.mark.parametrize("name", PUBLIC)
def test_no_explanation_is_only_a_reference(name):
    text = inspect.getdoc(PUBLIC[name]) or ""
    assert not re.search(r"^[*\w][*\w, ]*\n {4}(As in|See) :\w+:`[^`]*`\.?$", text, re.M)


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_is_explained(name):
    fields = {field.name for field in dataclasses.fields(FIELDS[name]) if not field.name.startswith("_")}
    assert fields <= explained(FIELDS[name])


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_begins_with_an_example(name):
    text = inspect.getdoc(CLASSES[name]) or ""
    beginning = re.split(r"^(?:Parameters|Attributes|Raises)\n-+$", text, maxsplit=1, flags=re.M)[0]
    assert re.search(r"^>>> |^\.\. code-block:: python$|::\n\n {4}|^Example: ``", beginning, re.M)
    for block in re.findall(r"(?:code-block:: python|::)\n\n((?: {4}.*\n|\n)+)", beginning + "\n"):
        ast.parse(textwrap.dedent(block))


@pytest.mark.parametrize("name", CLASSES)
def test_an_example_with_results_gives_them(name):
    globs = vars(sys.modules[CLASSES[name].__module__]).copy()
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder(recurse=False).find(CLASSES[name], name, globs=globs):
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0
