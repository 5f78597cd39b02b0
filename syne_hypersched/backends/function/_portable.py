"""How a function is pickled with the globals that it uses, and its helper functions with theirs."""

from __future__ import annotations

import collections
import enum
import functools
import importlib
import io
import operator
import pickle
import sys
import threading
import types
import typing
from collections.abc import Callable
from typing import Any

import dill

from syne_hypersched.backends.function._content import in_a_module, submodules, used_globals, used_names


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
    """Pickles the input of :func:`load_function` of ``_entry_point.py``.

    These are objects for one unpickler: the namespace of ``__main__``, three dictionaries that are to be put into it,
    and the function. Functions of ``__main__`` refer to its namespace, wherever they are loaded, so that they share
    what they change there, may call each other, and may use it in the body of a class. What has to be put into it shows
    in which of them are pickled, and that in what is put into it: until nothing is missing.

    A module that is not installed, such as one beside the script, is imported anew and then gets its present values. If
    one of them cannot be pickled, it only is imported.
    """
    try:
        return _dump(function, has_values=True)
    except Exception:
        return _dump(function, has_values=False)


def _dump(function: types.FunctionType, has_values: bool) -> bytes:
    main = vars(sys.modules["__main__"])
    needed: set[str] = set()
    names: set[str] = set()
    recursive: list[type] = []
    while True:
        pickled = io.BytesIO()
        pickler = _FunctionPickler(pickled, names, recursive, has_values)
        try:
            for part in (main, *_in_order({name: main[name] for name in sorted(needed)}), function):
                pickler.dump(part)
        except _RefersToItself as error:
            recursive.append(error.class_)
            continue
        if pickler.used_of_main <= needed and pickler.used_names <= names:
            return pickled.getvalue()
        needed |= pickler.used_of_main
        names |= pickler.used_names


def _in_order(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Plain values, then functions, then objects that may call them when loaded, such as classes."""
    parts: list[dict[str, Any]] = [{}, {}, {}]
    for name, value in values.items():
        is_plain = value is None or isinstance(value, (bool, int, float, complex, str, bytes, types.ModuleType))
        parts[0 if is_plain else 1 if isinstance(value, types.FunctionType) else 2][name] = value
    return parts


class _RefersToItself(Exception):
    """A member of a class is an object of this class, for example."""

    def __init__(self, class_: type) -> None:
        super().__init__(class_)
        self.class_ = class_


class _Dispatch(dill._dill.MetaCatchingDict):
    """Finds the method for a type; that of ``type`` for every metaclass without one."""

    def __missing__(self, kind: type) -> Callable[[Any, type], None]:
        if issubclass(kind, type):
            return _FunctionPickler.save_class
        raise KeyError(kind)


class _FunctionPickler(dill.Pickler):
    """Pickles functions that belong to no module as functions of ``__main__``."""

    dispatch = _Dispatch(dill.Pickler.dispatch.copy())

    def __init__(self, file: io.BytesIO, names: set[str], recursive: list[type], has_values: bool) -> None:
        super().__init__(file, recurse=False)
        #: Whether modules that are not installed are pickled with their values.
        self._has_values = has_values
        #: Classes that refer to themselves, which are pickled without their members at first.
        self._recursive = recursive
        #: Names in the code of all functions, as far as they are known.
        self._names = names
        #: Names in the code of the functions that were pickled.
        self.used_names: set[str] = set()
        #: Names that functions look for in the namespace of ``__main__``.
        self.used_of_main: set[str] = set()
        #: Packages that were pickled with modules below them.
        self._packages: set[str] = set()
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
        self.used_names |= used_names(function)
        dill.Pickler.dispatch[types.FunctionType](self, function)

    def save_module(self, module: types.ModuleType) -> None:
        """Pickles a module by name, together with the modules below it that functions use as its attributes."""
        used = submodules(module, self._names)
        if used and module.__name__ not in self._packages:
            self._packages.add(module.__name__)
            self.save_reduce(operator.itemgetter(0), ((module, *used),), obj=module)
        elif not self._has_values and sys.modules.get(module.__name__) is module:
            self.save_reduce(importlib.import_module, (module.__name__,), obj=module)
        else:
            dill.Pickler.dispatch[types.ModuleType](self, module)

    def save_class(self, class_: type) -> None:
        """Pickles a class by name or by value. Of a named tuple, dill forgets the methods."""
        if in_a_module(class_):
            dill.Pickler.dispatch[type](self, class_)
        elif any(class_ is each for each in self._recursive):
            self._save_in_two_steps(class_)
        elif id(class_) in getattr(self, "_postproc", ()):
            raise _RefersToItself(class_)
        elif class_.__bases__ == (tuple,) and hasattr(class_, "_field_defaults"):
            self._save_named_tuple(class_)
        else:
            dill.Pickler.dispatch[type](self, class_)

    def _save_in_two_steps(self, class_: type) -> None:
        members = {
            name: member
            for name, member in vars(class_).items()
            if name != "_abc_impl" and not isinstance(member, (types.MemberDescriptorType, types.GetSetDescriptorType))
        }
        first: dict[str, Any] = {name: members.pop(name) for name in ("__module__", "__slots__") if name in members}
        first["__qualname__"] = class_.__qualname__
        self.save_reduce(type(class_), (class_.__name__, class_.__bases__, first), (None, members), obj=class_)

    def _save_named_tuple(self, class_: Any) -> None:
        fields: tuple[str, ...] = class_._fields
        defaults = [class_._field_defaults[name] for name in fields if name in class_._field_defaults]
        make = functools.partial(collections.namedtuple, defaults=defaults, module=class_.__module__)
        copy = vars(make(class_.__name__, fields))
        added = {name: member for name, member in vars(class_).items() if name not in copy or name == "__qualname__"}
        if getattr(class_.__repr__, "__code__", None) is not copy["__repr__"].__code__:
            added["__repr__"] = vars(class_)["__repr__"]
        self.save_reduce(make, (class_.__name__, fields), (None, added), obj=class_)

    def save_enum(self, enum_class: Any) -> None:
        """Pickles an enumeration by name or by value, which dill cannot: its members refer to it."""
        if in_a_module(enum_class):
            dill.Pickler.dispatch[type](self, enum_class)
            return
        *mixins, base = enum_class.__bases__
        named: dict[str, Any] = {"module": enum_class.__module__, "qualname": enum_class.__qualname__}
        if mixins:
            named["type"] = mixins[0]
        members = [(name, member.value) for name, member in enum_class.__members__.items()]
        make: Callable[..., Any] = functools.partial(base, **named)
        try:
            copy: Any = make(enum_class.__name__, members)
            is_same = len(mixins) < 2 and _members(copy) == _members(enum_class)
        except Exception as error:
            raise pickle.PicklingError(f"the enumeration {enum_class.__qualname__} cannot be made anew") from error
        if not is_same:
            raise pickle.PicklingError(f"members of the enumeration {enum_class.__qualname__} have more than a value")
        added = {
            name: member
            for name, member in vars(enum_class).items()
            if name not in enum_class.__members__
            and name not in ("__new__", "__new_member__", "_new_member_", "_generate_next_value_")
            and (name not in vars(copy) or (isinstance(member, _DEFINED) and member is not vars(copy)[name]))
        }
        self.save_reduce(make, (enum_class.__name__, members), (None, added) if added else None, obj=enum_class)

    def save_type_variable(self, variable: Any) -> None:
        """Pickles a type variable, or what ``NewType`` has made, as what makes it: Python does it by name alone."""
        name, module = str(variable.__name__), str(variable.__module__)
        if module != "__main__" and getattr(sys.modules.get(module), name, None) is variable:
            self.save_global(variable, name)
            return
        if isinstance(variable, typing.NewType):
            self.save_reduce(typing.NewType, (name, variable.__supertype__), obj=variable)
            return
        named = {
            option: getattr(variable, f"__{option}__")
            for option in ("bound", "covariant", "contravariant")
            if getattr(variable, f"__{option}__")
        }
        constraints = getattr(variable, "__constraints__", ())
        kind: Callable[..., Any] = type(variable)
        make = functools.partial(kind, **named)
        self.save_reduce(make, (name, *constraints), obj=variable)

    def save_lock(self, lock: Any) -> None:
        """Pickles a lock as a new, free one. An ``RLock`` that dill restores is held forever."""
        self.save_reduce(threading.RLock if isinstance(lock, _RLOCK) else threading.Lock, (), obj=lock)


def _members(enum_class: Any) -> list[tuple[object, dict[str, object]]]:
    """The values of an enumeration's members, and their other attributes."""
    return [
        (each.value, {name: value for name, value in vars(each).items() if not name.startswith("_")})
        for each in enum_class.__members__.values()
    ]


_LOCK, _RLOCK = type(threading.Lock()), type(threading.RLock())
#: What the body of a class may define that Python has a version of.
_DEFINED = (types.FunctionType, property, classmethod, staticmethod)
_FunctionPickler.dispatch[enum.EnumMeta] = _FunctionPickler.save_enum
_FunctionPickler.dispatch[_LOCK] = _FunctionPickler.dispatch[_RLOCK] = _FunctionPickler.save_lock
for _kind in (typing.TypeVar, typing.ParamSpec, typing.NewType):
    _FunctionPickler.dispatch[_kind] = _FunctionPickler.save_type_variable
_FunctionPickler.dispatch[types.FunctionType] = _FunctionPickler.save_function
_FunctionPickler.dispatch[types.ModuleType] = _FunctionPickler.save_module
_FunctionPickler.dispatch[type] = _FunctionPickler.save_class
