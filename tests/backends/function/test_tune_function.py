from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import sys

import dill
import pytest

from syne_hypersched import ElasticPythonBackend
from syne_hypersched.backends.function._entry_point import load_function
from syne_hypersched.backends.function._tune_function import serialise

FACTOR = 3


def times_factor(x):
    return FACTOR * x


def load(function):
    pickles = io.BytesIO(function.stored)
    return dill.load(pickles), load_function(dill.Unpickler(pickles).load)


def test_what_is_stored_is_the_path_and_the_function_with_what_it_uses():
    offset = [1]

    def train(x, *, power=2, st_checkpoint_dir):
        return times_factor(x) ** power + offset[0]

    function = serialise(train, ["x"])
    offset[0] = 100  # of this moment is not what is stored
    path, loaded = load(function)
    assert path == [os.path.abspath(entry) for entry in sys.path]
    assert loaded(x=2, st_checkpoint_dir="") == 37
    assert loaded(x=2, power=1, st_checkpoint_dir="") == 7
    assert function.name == loaded.__name__ == "train"
    assert function.sha256 == hashlib.sha256(function.stored).hexdigest()


def test_a_function_of_a_module_is_stored_with_its_code():
    _, loaded = load(serialise(times_factor, ["x"]))
    assert loaded is not times_factor
    assert loaded.__code__ == times_factor.__code__
    assert loaded(x=2) == 6
    assert set(loaded.__globals__) - {"__name__", "__builtins__"} == {"FACTOR"}


def test_a_decorated_function_takes_what_the_one_inside_takes():
    def twice(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return 2 * function(*args, **kwargs)

        return wrapper

    @twice
    def train(x):
        return x

    _, loaded = load(serialise(train, ["x"]))
    assert loaded(x=4) == 8
    with pytest.raises(TypeError, match="must take every entry of config_space by keyword, but not y"):
        serialise(train, ["x", "y"])


def test_a_function_may_take_anything():
    def train(x, *args, **kwargs):
        return kwargs

    _, loaded = load(serialise(train, ["x", "y", "z"]))
    assert loaded(x=1, y=2, z=3) == {"y": 2, "z": 3}


@pytest.mark.parametrize(
    "value",
    [5, "train", None, len, dict, functools.partial(print), [].append, type("Model", (), {"__call__": print})()],
)
def test_only_functions_are_taken(value):
    with pytest.raises(TypeError, match="tune_function must be a function made by def or lambda, but got"):
        serialise(value, ["x"])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, y: 0, "but y is not: config_space has x"),
        (lambda x, y, *, z: 0, "but y, z is not"),
        (lambda x, /: 0, "passed by keyword, or have a default, but x is not"),
        (lambda: 0, "must take every entry of config_space by keyword, but not x"),
        (lambda x=1, /: 0, "but not x"),
        (lambda *x: 0, "but not x"),
    ],
)
def test_arguments_that_do_not_fit_are_named(function, message):
    with pytest.raises(TypeError, match=message):
        serialise(function, ["x"])


def test_what_cannot_be_serialised_is_an_error_that_says_what_to_do():
    numbers = (n for n in range(3))

    def train(x):
        return next(numbers)

    with pytest.raises(TypeError, match=r"train is not \(TypeError: .*generator.*inside the function helps"):
        serialise(train, ["x"])
    assert next(numbers) == 0


def test_helpers_that_call_each_other():
    namespace = {"__name__": "__main__"}
    exec("def f(x):\n    return g(x)\ndef g(x):\n    return x and f(x - 1)\ndef train(x):\n    return f(x)", namespace)
    _, loaded = load(serialise(namespace["train"], ["x"]))
    assert loaded(x=3) == 0


def test_what_runs_nothing_when_it_is_called_is_refused():
    async def coroutine(x):
        pass

    def generator(x):
        yield x

    async def asynchronous_generator(x):
        yield x

    for function, kind in (
        (coroutine, "coroutine is a coroutine function"),
        (generator, "generator is a generator function"),
        (asynchronous_generator, "asynchronous_generator is an asynchronous generator function"),
    ):
        with pytest.raises(TypeError, match=f"tune_function must run when it is called, but {kind}"):
            serialise(function, ["x"])

    def runs(x):
        return list(generator(x))

    _, loaded = load(serialise(runs, ["x"]))
    assert loaded(x=2) == [2]


class Model:
    def train(self, x):
        return x

    def __call__(self, x):
        return x


@pytest.mark.parametrize(
    "value", [Model().train, Model(), functools.partial(times_factor), functools.lru_cache(times_factor)]
)
def test_other_callables_are_refused_with_advice(value):
    with pytest.raises(TypeError, match=r"made by def or lambda, but got .*; write a function that calls it"):
        serialise(value, ["x"])


def test_a_function_is_not_called_changed_because_another_version_of_python_has_compiled_it(tmp_path):
    def train(x):
        pass

    def backend():
        return ElasticPythonBackend(train, {"x": 1.0}, 1, device_type="cpu")

    backend()._store(tmp_path)
    backend()._store(tmp_path)
    record = tmp_path / "tune_function.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "python": "3.9"}))
    with pytest.raises(ValueError, match=r"Python must be of the version 3\.9, with which the experiment in"):
        backend()._store(tmp_path)
