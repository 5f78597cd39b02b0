"""How a function is pickled with the globals that it uses, and its helper functions with theirs."""

from __future__ import annotations

import io
import sys
import types
from typing import Any

import dill

from syne_hypersched.backends.function._content import in_a_module, used_globals


def portable_function(function: types.FunctionType) -> types.FunctionType:
    """A function of ``__main__`` that does the same as one of another module, which it does not need to be loaded."""
    main = vars(sys.modules["__main__"])
    if function.__globals__ is main and not in_a_module(function):
        return function
    used = {name: function.__globals__[name] for name in sorted(used_globals(function))}
    portable = types.FunctionType(
        function.__code__, used, function.__name__, function.__defaults__, function.__closure__
    )
    portable.__kwdefaults__ = function.__kwdefaults__
    vars(portable).update(vars(function))  # __wrapped__, of a function that was decorated
    portable.__module__ = "__main__"
    return portable


def dump_function(function: types.FunctionType) -> bytes:
    """Pickles what :func:`load_function` of ``_entry_point.py`` makes the function of.

    These are objects for one unpickler: the namespace of ``__main__``, three dictionaries that are to be put into it,
    and the function. Functions of ``__main__`` refer to its namespace, wherever they are loaded, so that they share
    what they change there, may call each other, and may use it in the body of a class. What has to be put into it shows
    in which of them are pickled, and that in what is put into it: until nothing is missing.
    """
    main = vars(sys.modules["__main__"])
    needed: set[str] = set()
    while True:
        pickled = io.BytesIO()
        pickler = _FunctionPickler(pickled)
        for part in (main, *_in_order({name: main[name] for name in sorted(needed)}), function):
            pickler.dump(part)
        missing = pickler.used_of_main - needed
        if not missing:
            return pickled.getvalue()
        needed |= missing


def _in_order(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Plain values, then functions, then what may call these functions when it is loaded, such as classes."""
    parts: list[dict[str, Any]] = [{}, {}, {}]
    for name, value in values.items():
        is_plain = value is None or isinstance(value, (bool, int, float, complex, str, bytes, types.ModuleType))
        parts[0 if is_plain else 1 if isinstance(value, types.FunctionType) else 2][name] = value
    return parts


class _FunctionPickler(dill.Pickler):
    """Pickles functions that belong to no module as functions of ``__main__``."""

    dispatch = dill._dill.MetaCatchingDict(dill.Pickler.dispatch.copy())

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, recurse=False)
        #: Names that functions look for in the namespace of ``__main__``.
        self.used_of_main: set[str] = set()
        #: Functions and what is pickled for them, by the addresses of both.
        self._portable: dict[int, tuple[types.FunctionType, types.FunctionType]] = {}

    def save_function(self, function: types.FunctionType) -> None:
        """Pickles a function by name or by value."""
        if id(function) not in self._portable:
            portable = function if in_a_module(function) else portable_function(function)
            self._portable[id(function)] = self._portable[id(portable)] = function, portable
        _, portable = self._portable[id(function)]
        if portable is not function:
            self.save(portable)
            return
        if function.__globals__ is vars(sys.modules["__main__"]):
            self.used_of_main |= used_globals(function)
        dill.Pickler.dispatch[types.FunctionType](self, function)


_FunctionPickler.dispatch[types.FunctionType] = _FunctionPickler.save_function
