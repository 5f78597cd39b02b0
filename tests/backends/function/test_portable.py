"""Functions of ``__main__`` with the globals that they use, called in another process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import syne_hypersched.backends

ROOT = Path(syne_hypersched.backends.__file__).parents[2]
ENTRY_POINT = ROOT / "syne_hypersched" / "backends" / "function" / "_entry_point.py"

#: A script that stores one of its functions, and calls it. What it calls is printed.
SCRIPT = """
import abc, asyncio, concurrent.futures, dataclasses, enum, functools, pickle, signal, sys, threading, typing
import xml.etree.ElementTree
from pathlib import Path
from syne_hypersched.backends.function._tune_function import serialise

BASE, COUNT = 10, 0
LOCK = (n for n in range(3))  # cannot be pickled

class Mixin:
    kind = BASE
    def scale(self, x):
        return x * BASE

class Sub(Mixin):
    def scale(self, x):
        return super().scale(x) + 1

class Meta(type):
    def __new__(meta, name, bases, members):
        return super().__new__(meta, name, bases, {**members, "base": BASE})

class Made(metaclass=Meta):
    pass

def even(x):
    return True if x == 0 else odd(x - 1)

def odd(x):
    return False if x == 0 else even(x - 1)

def count():
    global COUNT
    COUNT += 1

def adding_base(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs) + BASE
    return wrapper

PARTIAL = functools.partial(even, 4)

class Colour(enum.Enum):
    RED = 1
    BLUE = 2
    CRIMSON = 1
    @property
    def base(self):
        return BASE + self.value
    @classmethod
    def _missing_(cls, value):
        return cls.BLUE
    def __str__(self):
        return super().__str__().upper()

class Text(str, enum.Enum):
    A = "a"

class Flag(enum.Flag):
    A = enum.auto()
    B = enum.auto()

class Plain(enum.Enum):
    def both(self):
        return self.name + self.value

class Derived(Plain):
    "An enumeration with a base of its own."
    A = "x"

SIGTERM, AnyStr = signal.SIGTERM, typing.AnyStr
Named = enum.Enum("Named", "a b")
T = typing.TypeVar("T")
Bound = typing.TypeVar("Bound", bound=Colour, covariant=True)
Either = typing.TypeVar("Either", int, str)
Parameters = typing.ParamSpec("Parameters")
Identity = typing.NewType("Identity", int)

class Box(typing.Generic[T]):
    def __init__(self, value: T, identity: Identity = Identity(1)):
        self.value = value

class Point:
    __slots__ = ("x",)
    origin = None
    def __init__(self, x):
        self.x = x + BASE
    def __eq__(self, other):
        return isinstance(other, Point) and self.x == other.x
    def __init_subclass__(cls):
        cls.of_subclass = BASE

Point.origin = Point(0)

class Near(Point):
    def shifted(self):
        return Point(self.x + Point.origin.x)

class Shape(abc.ABC):
    known = []
    @abc.abstractmethod
    def area(self): ...

class Square(Shape):
    def area(self):
        return BASE

Shape.known.append(Square())

class Pair(typing.NamedTuple):
    first: int
    second: int = BASE
    def both(self):
        return self.first + self.second + BASE
    @property
    def swapped(self):
        return Pair(self.second, self.first)
    def __repr__(self):
        return f"{self.first} and {self.second}"

class Cached:
    @functools.cached_property
    def value(self):
        return BASE

RLOCK, HELD, CONDITION = threading.RLock(), threading.Lock(), threading.Condition()

def class_body():
    class A:
        value = BASE
        values = [BASE + i for i in range(2)]
        def method(self):
            return BASE
        class B:
            value = BASE
            class C(Mixin):
                mixin = Mixin
    return A.value, A.values, A().method(), A.B.value, A.B.C().scale(2), A.B.C.mixin.kind

def own_names_of_a_class_body():
    class A:
        LOCK = 3
        value = LOCK
    return A.value

def recursion():
    return even(5), PARTIAL()

def shared_globals():
    global COUNT
    COUNT = 5
    count()
    count()
    return COUNT

def defaults(x=BASE, *, y=Mixin):
    return x, y.kind

def annotations():
    def inner(a: Mixin, b: int = BASE) -> Sub:
        return a
    return list(inner.__annotations__), inner.__defaults__

def matching():
    match Sub():
        case Mixin(kind=kind) if kind == BASE:
            return kind

def lambdas_and_comprehensions():
    return (lambda: (lambda: BASE)())(), {i: BASE for i in range(2)}, list(BASE for _ in range(1))

@adding_base
def decorated():
    return 1

def make():
    kept = [BASE]
    def inner(n):
        return kept[0] if n == 0 else inner(n - 1)
    def closure():
        class A:
            value = inner(3) + BASE
        return A.value
    return closure

closure = make()

def data_classes():
    @dataclasses.dataclass
    class A:
        a: int = BASE
        b: list = dataclasses.field(default_factory=lambda: [BASE])
    return A().a, A().b

def coroutines_inside():
    async def inner():
        return BASE
    return asyncio.run(inner())

def exceptions():
    class Failure(Exception):
        code = BASE
    try:
        raise Failure
    except Failure as failure:
        return failure.code

def metaclasses():
    return Made.base

def members():
    class A:
        @property
        def p(self):
            return BASE
        @staticmethod
        def s():
            return BASE
        @classmethod
        def c(cls):
            return cls.__name__, BASE
    return A().p, A.s(), A.c()

def pickling_of_own_classes():
    return type(pickle.loads(pickle.dumps(Sub()))).__name__

def enumerations(default=Colour.RED):
    same = [default is Colour.RED, Colour.CRIMSON is Colour.RED, Text("a") is Text.A, Text.A == "a"]
    same += [signal.Signals.SIGTERM is SIGTERM, typing.AnyStr is AnyStr]
    pickled = pickle.loads(pickle.dumps(Colour.BLUE))
    return same, Colour.BLUE.base, str(Colour(7)), Derived.A.both(), Flag.A | Flag.B, Named.b, pickled

def type_variables():
    bounds = Bound.__bound__, Bound.__covariant__, Either.__constraints__, Parameters.__name__
    return Box[int](3).value, Box.__parameters__, bounds, Identity(5), Identity.__supertype__

def locks():
    with RLOCK, HELD, CONDITION:
        return Cached().value

def named_tuples():
    return Pair(1).both(), Pair(1).swapped, Pair._fields, Pair.__annotations__, Pair(1)._replace(second=3) < (1, 4)

def classes_that_hold_their_own_objects():
    try:
        abstract = Shape()
    except TypeError:
        abstract = None
    known = Shape.known[0]
    same = isinstance(known, Square), isinstance(Near(1), Point), hasattr(Point(1), "__dict__")
    return Point.origin.x, Point.origin == Point(0), Near(1).shifted().x, Near.of_subclass, same, known.area(), abstract

def modules_below_others():
    class A:
        def parse(self):
            return xml.etree.ElementTree.fromstring("<a/>").tag
    return A().parse(), concurrent.futures.Future.__name__

as_lambda = lambda: BASE

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name in sys.argv[2:]:
        function = globals()[name]
        show = lambda: print(repr(function()))
        HELD.acquire()
        (folder / name).write_bytes(serialise(show, ()).stored)
        HELD.release()
        COUNT = 0
        show()
"""

#: Calls each stored function in a process of its own, in which nothing of the others is left.
CALL = """
import os, runpy, sys
from pathlib import Path
import dill
load_function = runpy.run_path(sys.argv[1])["load_function"]
for name in sys.argv[3:]:
    if os.fork() == 0:
        with open(Path(sys.argv[2]) / name, "rb") as file:
            dill.load(file)
            load_function(dill.Unpickler(file).load)()
        sys.exit()
    if os.wait()[1] != 0:
        print(name, "has failed")
    sys.stdout.flush()
"""

KINDS = (
    "class_body", "own_names_of_a_class_body", "recursion", "shared_globals", "defaults", "annotations", "matching",
    "lambdas_and_comprehensions", "decorated", "closure", "data_classes", "coroutines_inside", "exceptions",
    "metaclasses", "members", "pickling_of_own_classes", "enumerations", "type_variables", "locks", "as_lambda",
    "named_tuples", "modules_below_others", "classes_that_hold_their_own_objects",
)  # fmt: skip


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """The output of each function in the script that defines it, and in the process that loads it."""
    folder = tmp_path_factory.mktemp("functions")
    (folder / "script.py").write_text(SCRIPT)
    (folder / "call.py").write_text(CALL)
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    outputs = []
    for command in (["script.py", folder], ["call.py", ENTRY_POINT, folder]):
        arguments = [sys.executable, folder / command[0], *command[1:], *KINDS]
        done = subprocess.run(arguments, env=env, capture_output=True, text=True, check=True)
        outputs.append((done.stdout.splitlines(), done.stderr))
    return outputs


@pytest.mark.parametrize("name", KINDS)
def test_a_stored_function_does_the_same(said, name):
    (here, _), (there, errors) = said
    assert len(here) == len(there) == len(KINDS), errors
    assert there[KINDS.index(name)] == here[KINDS.index(name)], errors
    assert here[KINDS.index("class_body")] == "(10, [10, 11], 10, 10, 20, 10)"


def test_an_enumeration_that_cannot_be_made_anew_is_refused_at_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        """
import enum
from syne_hypersched.backends.function._tune_function import serialise

class Planet(enum.Enum):
    EARTH = (5.976e24, 6.37814e6)
    def __init__(self, mass, radius):
        self.mass = mass

def train():
    return Planet.EARTH.mass

try:
    serialise(train, ())
except TypeError as error:
    print(error)
"""
    )
    done = subprocess.run(
        [sys.executable, script], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    assert "members of the enumeration Planet have more than a value" in done.stdout


def test_a_module_beside_the_script_keeps_its_values_if_it_can(tmp_path):
    """If it cannot, it is imported where the function runs."""
    (tmp_path / "helpers.py").write_text("SCALE = 2\ndef scaled(x):\n    return x * SCALE\n")
    (tmp_path / "kept.py").write_text("import threading\nKEPT = threading.local()\n")
    script = tmp_path / "script.py"
    script.write_text(
        """
import sys
import helpers
from syne_hypersched.backends.function._tune_function import serialise

def train():
    return helpers.scaled(1)

def with_what_cannot_be_pickled():
    kept.KEPT.x = helpers.scaled(1)
    return kept.KEPT.x

helpers.SCALE = 3
import kept
for function in (train, with_what_cannot_be_pickled):
    with open(f"{sys.argv[1]}/functions/{function.__name__}", "wb") as file:
        show = eval(f"lambda: print({function.__name__}())")
        file.write(serialise(show, ()).stored)
"""
    )
    (tmp_path / "functions").mkdir()
    (tmp_path / "call.py").write_text(CALL)
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    subprocess.run([sys.executable, script, tmp_path], env=env, check=True)
    names = ["train", "with_what_cannot_be_pickled"]
    command = [sys.executable, tmp_path / "call.py", ENTRY_POINT, tmp_path / "functions", *names]
    called = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert called.stdout.split() == ["3", "2"], called.stderr
