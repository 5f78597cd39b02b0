from __future__ import annotations

import os
import subprocess
import sys
import threading
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched.backends.function._content import FunctionContent, used_globals
from tests.thoroughness import examples

SOURCE = """
import math
from json import dumps
from statistics import NormalDist

FACTORS = {"a": 1.5, "b": [2, (3, None)]}
NAMES = {"red", "green", "blue", "black"}
UNUSED = 1


def halve(x, by=2):
    return x / by


class Model:
    size = 3

    def __init__(self, x):
        self.x = x

    @property
    def double(self):
        return 2 * self.x

    @staticmethod
    def even(n):
        return n == 0 or Model.odd(n - 1)

    @classmethod
    def odd(cls, n):
        return n != 0 and cls.even(n - 1)


MODEL = Model(7)


def make():
    bias = 0.5

    def train(x, kind="slow", *, seed=0):
        if kind in {"slow", "fast", "other", "none"} or kind in NAMES:
            import decimal
        total = sum(halve(x) for _ in range(MODEL.double)) + FACTORS["a"] + bias
        return dumps([total, math.pi, NormalDist(), train])

    return train


train = make()
"""


def function_of(source):
    """Turns a function into one of ``__main__``."""
    namespace = {"__name__": "__main__"}
    exec(compile(source, "<cell>", "exec", dont_inherit=True), namespace)
    return namespace["train"]


def fingerprint(source):
    return FunctionContent(function_of(source)).fingerprint


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x / by", "by / x"),
        ("by=2", "by=3"),
        ("size = 3", "size = 4"),
        ("Model", "Network"),
        ("2 * self.x", "3 * self.x"),
        ("n == 0 or", "n == 1 or"),
        ("n != 0 and", "n != 1 and"),
        ("Model(7)", "Model(8)"),
        ("(3, None)", "(3, 0)"),
        ('"black"', '"white"'),
        ("bias = 0.5", "bias = 1.5"),
        ('kind="slow"', 'kind="fast"'),
        ("seed=0", "seed=1"),
        ('"other"', '"others"'),
        ("import decimal", "import fractions"),
        ("math.pi", "math.e"),
        ("from json import dumps", "from marshal import dumps"),
        ("import math", "import cmath as math"),
    ],
)
def test_any_change_of_what_it_does_is_seen(old, new):
    assert SOURCE.count(old) >= 1
    assert fingerprint(SOURCE.replace(old, new)) != fingerprint(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [("UNUSED = 1", "UNUSED = 2"), ("class Model:", "# a comment\n\nclass Model:"), ('"a": 1.5', '"a":  1.5')],
)
def test_nothing_else_is(old, new):
    assert fingerprint(SOURCE.replace(old, new)) == fingerprint(SOURCE)


def test_the_same_in_processes_with_other_hashes_and_other_places_of_the_code(tmp_path):
    seen = set()
    for seed in (1, 2):  # this process has a third one
        script = tmp_path / f"script_{seed}.py"
        show = "from syne_hypersched.backends.function._content import FunctionContent\n"
        show += "print(FunctionContent(train).fingerprint)\n"
        script.write_text("\n" * seed + SOURCE + show)
        env = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": os.getcwd()}
        printed = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=env, check=True)
        seen.add(printed.stdout.strip())
    assert seen == {fingerprint(SOURCE)}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.sampled_from([..., len]),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=examples(100), deadline=None)
@given(VALUES, VALUES)
def test_functions_are_the_same_if_their_globals_are(first, second):
    def content(value):
        code = function_of("def train():\n    return value").__code__
        return FunctionContent(types.FunctionType(code, {"value": value})).fingerprint

    def description(value):
        """Distinguishes equal values of different types."""
        if isinstance(value, (list, tuple)):
            return type(value).__name__, [description(part) for part in value]
        if isinstance(value, dict):
            return "dict", [(name, description(part)) for name, part in value.items()]
        return type(value).__name__, repr(value)

    assert (content(first) == content(second)) == (description(first) == description(second))
    assert content(first) == content(first)


def test_what_refers_to_itself_or_cannot_be_taken_apart_has_a_fingerprint():
    namespace = {"__name__": "__main__", "LOCK": threading.Lock(), "LOOP": []}
    namespace["LOOP"].append(namespace["LOOP"])
    exec("def train():\n    return LOCK, LOOP, train, later\n", namespace)
    assert FunctionContent(namespace["train"]).fingerprint == FunctionContent(namespace["train"]).fingerprint


def test_objects_of_libraries_count_with_their_classes():
    """Pickles may differ between processes, for example of a tensor, which contains an address."""

    def content(value):
        namespace = {"__name__": "__main__", "DATA": value}
        exec("def train():\n    return DATA\n", namespace)
        return FunctionContent(namespace["train"]).fingerprint

    assert content(np.zeros(3)) == content(np.ones(4)) != content(np.float32(1))


def test_imports_are_those_of_the_code_and_of_the_globals():
    imports = FunctionContent(function_of(SOURCE)).imports
    assert set(imports) - {"__main__", "builtins"} == {"decimal", "math", "json", "statistics"}
    assert len(set(imports)) == len(imports)


def test_modules_below_a_package_that_are_used_are_imports():
    source = "import xml.dom.minidom, xml.sax.handler\ndef train():\n    return xml.dom.minidom.parseString\n"
    imports = set(FunctionContent(function_of(source)).imports)
    assert {"xml", "xml.dom", "xml.dom.minidom"} <= imports
    assert "xml.sax.handler" not in imports


def test_globals_are_those_that_exist_also_of_functions_inside():
    source = (
        "A = B = C = 1\ndef train():\n    B = 2\n    def inner():\n        return A, missing, len\n    return inner, C"
    )
    assert used_globals(function_of(source)) == {"A", "C"}
