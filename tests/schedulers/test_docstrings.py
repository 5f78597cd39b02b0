"""``help()`` of each public class begins with an example that runs, and explains every argument where it is."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import textwrap

import pytest
from syne_tune import Tuner
from syne_tune.config_space import loguniform

import syne_hypersched.allocation
from syne_hypersched import rungs, schedulers
from syne_hypersched.schedulers.base import MultiFidelityScheduler

SCHEDULERS = [getattr(schedulers, name) for name in schedulers.__all__]
MODULES = [
    rungs,
    *(
        importlib.import_module(f"syne_hypersched.allocation.{module.name}")
        for module in pkgutil.iter_modules(syne_hypersched.allocation.__path__)
        if not module.name.startswith("_")
    ),
]
CLASSES = SCHEDULERS + [
    member
    for module in MODULES
    for name, member in vars(module).items()
    if inspect.isclass(member) and member.__module__ == module.__name__ and not name.startswith("_")
]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_help_begins_with_an_example(cls):
    sections = re.findall(r"^(Examples?::|Examples?|Parameters|Attributes|Raises)$", inspect.getdoc(cls) or "", re.M)
    assert sections
    assert sections[0].startswith("Example")


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_examples_with_results_give_them(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("cls", [*SCHEDULERS, MultiFidelityScheduler], ids=lambda cls: cls.__name__)
def test_every_argument_is_explained_in_place(cls):
    text = inspect.getdoc(cls) or ""
    explained = {
        name.strip()
        for names in re.findall(r"^(\w[\w, ]*)\n {4}\S", text[text.index("Parameters\n") :], re.M)
        for name in names.split(",")
    }
    assert set(inspect.signature(cls).parameters) <= explained
    assert not re.search(r"^ {4}(As in|See) :class:", text, re.M)


@pytest.mark.parametrize("cls", SCHEDULERS, ids=lambda cls: cls.__name__)
def test_the_scheduler_of_an_example_can_be_made(cls):
    code = re.search(r"^Example::\n\n((?: {4}.*\n|\n)+)", (inspect.getdoc(cls) or "") + "\n", re.M)
    assert code is not None
    space = {"lr": loguniform(1e-4, 1)}
    names = {
        "space": space,
        "points": [{"lr": 0.1}],
        **{name: getattr(schedulers, name) for name in schedulers.__all__},
    }
    names |= {"ElasticLocalBackend": Nothing, "Deadline": Nothing, "Tuner": Nothing, "backend": None}
    names["stop_criterion"] = None
    exec(textwrap.dedent(code[1]), names)
    assert isinstance(names.get("scheduler", cls), (cls, type)) or cls.__name__ in code[1]


class Nothing:
    """Replaces the other parts of an example, which other tests run."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        assert set(kwargs) <= {"num_devices", "trial_backend", "n_workers", *inspect.signature(Tuner).parameters}

    def run(self) -> None:
        """Nothing runs."""
