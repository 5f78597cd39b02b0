"""What a function consists of, described so that the same function is recognised in another process."""

from __future__ import annotations

import dis
import hashlib
import operator
import sys
import types
from collections.abc import Iterator
from typing import Any

#: Attributes of a code object that determine its behaviour, beside its constants; those that say where it was
#: written, and in which lines, do not.
_PARTS_OF_CODE = (
    "co_name", "co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_flags", "co_varnames", "co_names",
    "co_freevars", "co_cellvars", "co_code", "co_exceptiontable",
)  # fmt: skip

#: Members that every class gets, which say nothing of its own or depend on where it was written.
_MADE_BY_PYTHON = frozenset(
    {"__dict__", "__weakref__", "__module__", "__firstlineno__", "__static_attributes__", "__annotate__"}
)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A code object and those of the functions and classes that it defines."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def used_globals(function: types.FunctionType) -> set[str]:
    """Names of the globals that a function uses, as far as they exist."""
    names = {name for code in _codes(function.__code__) for name in _global_names(code)}
    return names & function.__globals__.keys()


def used_names(function: types.FunctionType) -> set[str]:
    """Names of globals and of attributes in the code of a function."""
    return {name for code in _codes(function.__code__) for name in code.co_names}


def _global_names(code: types.CodeType) -> Iterator[str]:
    """Names that a code object looks for among the globals, or may look for there."""
    stored = {"__name__"}  # every class body asks for it
    for instruction in dis.get_instructions(code):
        if instruction.opname == "STORE_NAME":
            stored.add(instruction.argval)
        elif instruction.opname == "LOAD_NAME":  # in the body of a class, whose own names come first
            if instruction.argval not in stored:
                yield instruction.argval
        elif instruction.opname in ("LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"):
            yield instruction.argval


def in_a_module(value: types.FunctionType | type) -> bool:
    """Whether a function or class can be found by its name in a module, so that it is not stored by value."""
    module = sys.modules.get(value.__module__ or "__main__")
    if module is None or module.__name__ == "__main__":
        return False
    try:
        return operator.attrgetter(value.__qualname__)(module) is value
    except AttributeError:
        return False


def submodules(package: types.ModuleType, names: set[str]) -> list[types.ModuleType]:
    """The loaded modules below a package whose names are all among these, such as attributes that a function uses.

    After ``import xml.etree.ElementTree``, a function only refers to ``xml``, whose import alone does not load them.
    """
    if not hasattr(package, "__path__"):
        return []
    prefix = f"{package.__name__}."
    loaded: dict[str, Any] = dict(sys.modules)  # anything may be put there
    return [
        module
        for name, module in sorted(loaded.items(), key=operator.itemgetter(0))
        if name.startswith(prefix) and isinstance(module, types.ModuleType) and names.issuperset(name.split(".")[1:])
    ]


class FunctionContent:
    """The parts of a function: its code, defaults and enclosing variables, and the globals that it uses.

    Helper functions and classes of ``__main__`` belong to it with all that they consist of, and so do Python's own
    values and containers; functions and classes of modules count with their names alone, and objects of these classes,
    such as arrays, with the names of their classes. Nothing counts that differs between two processes or two places of
    the same code: addresses, the order of sets, line numbers and file names.
    """

    def __init__(self, function: types.FunctionType) -> None:
        self._hash = hashlib.sha256()
        #: Objects that may refer to themselves, by their addresses, which are theirs as long as they are kept here.
        self._seen: dict[int, tuple[int, Any]] = {}
        self._imports: dict[str, None] = {}
        #: Modules that are globals, and the names in the code that may be those of modules below them.
        self._modules: dict[str, types.ModuleType] = {}
        self._names: set[str] = set()
        self._add(function)

    @property
    def fingerprint(self) -> str:
        """The same for the same content, in hexadecimal digits."""
        return self._hash.hexdigest()

    @property
    def imports(self) -> tuple[str, ...]:
        """Modules that are imported or used, each once, in the order in which they were met."""
        below = (each.__name__ for module in self._modules.values() for each in submodules(module, self._names))
        return tuple(dict.fromkeys((*self._imports, *below)))

    def _add(self, value: Any) -> None:
        self._feed(type(value).__qualname__)
        if isinstance(value, bytes):
            self._feed(value)
        elif value is None or isinstance(value, (bool, int, float, complex, str, types.EllipsisType)):
            self._feed(repr(value))
        elif isinstance(value, types.CodeType):
            self._add_code(value)
        elif isinstance(value, (tuple, frozenset, set)):
            self._add_all(value if isinstance(value, tuple) else sorted(value, key=repr))
        elif id(value) in self._seen:
            self._feed(str(self._seen[id(value)][0]))
        else:
            self._seen[id(value)] = (len(self._seen), value)
            self._add_object(value)

    def _add_object(self, value: Any) -> None:
        if isinstance(value, types.ModuleType):
            self._modules[value.__name__] = value
            self._name(value.__name__, "")
        elif isinstance(value, (types.FunctionType, type)) and in_a_module(value):
            self._name(value.__module__, value.__qualname__)
        elif isinstance(value, types.FunctionType):
            self._add_function(value)
        elif isinstance(value, type):
            self._feed(value.__qualname__)
            self._add_all(value.__bases__)
            for name, member in sorted(vars(value).items()):
                if name not in _MADE_BY_PYTHON:
                    self._feed(name)
                    self._add(member)
        elif isinstance(value, (staticmethod, classmethod)):
            self._add(value.__func__)
        elif isinstance(value, property):
            self._add_all((value.fget, value.fset, value.fdel))
        elif isinstance(value, types.BuiltinFunctionType):
            self._feed(f"{value.__module__} {value.__qualname__}")
        elif isinstance(value, list):
            self._add_all(value)
        elif isinstance(value, dict):
            self._add_all([part for item in value.items() for part in item])
        else:
            self._name(type(value).__module__, type(value).__qualname__)
            if not in_a_module(type(value)) and hasattr(value, "__dict__"):
                self._add_all((type(value), vars(value)))

    def _add_function(self, value: types.FunctionType) -> None:
        self._feed(value.__name__)
        self._add_code(value.__code__)
        self._add_all((value.__defaults__, value.__kwdefaults__, vars(value)))
        for cell in value.__closure__ or ():
            try:
                self._add(cell.cell_contents)
            except ValueError:  # the variable of the enclosing function has no value yet
                self._feed("empty")
        for name in sorted(used_globals(value)):
            self._feed(name)
            self._add(value.__globals__[name])

    def _add_code(self, code: types.CodeType) -> None:
        for name in _PARTS_OF_CODE:
            self._feed(repr(getattr(code, name, None)))
        self._add_all(code.co_consts)
        self._names.update(code.co_names)
        for instruction in dis.get_instructions(code):
            if instruction.opname == "IMPORT_NAME":
                self._imports[instruction.argval] = None

    def _add_all(self, values: Any) -> None:
        self._feed(str(len(values)))
        for value in values:
            self._add(value)

    def _name(self, module: str, name: str) -> None:
        self._imports[module] = None
        self._feed(f"{module} {name}")

    def _feed(self, text: str | bytes) -> None:
        content = text.encode(errors="surrogatepass") if isinstance(text, str) else text
        self._hash.update(b"%d " % len(content))  # so that different sequences of texts give different bytes
        self._hash.update(content)
