"""Tells when a script imports a module that was loaded before the fork.

On Python 3.10 this is an import statement: ``importlib.import_module`` of a loaded module cannot be seen there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _WatchedSpec(ModuleSpec):
    """The spec of a loaded module. Every import statement asks it whether the module is still being loaded."""

    @property
    def _initializing(self) -> bool:
        members = vars(self)
        callbacks, package = members["_when_imported"], self.name.partition(".")[0]
        for key, callback in list(callbacks.items()):
            if callback(package):
                callbacks.pop(key, None)
        if not callbacks and type(self) is _WatchedSpec:
            self.__class__ = ModuleSpec  # type: ignore[assignment]
            del members["_when_imported"]
        return bool(members.get("_initializing", False))

    @_initializing.setter
    def _initializing(self, value: bool) -> None:
        vars(self)["_initializing"] = value


def watch_imports(packages: Collection[str], who: str, when_imported: Callable[[str], bool]) -> None:
    """Registers a function that is called when a loaded module of certain packages is imported.

    Parameters
    ----------
    packages
        Names of the packages.
    who
        Name of the caller. A second function with the same name replaces the first.
    when_imported
        Called with the name of the package; returns whether the module need not be watched any more.
    """
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in packages:
            _watch(module, who, when_imported)


def _watch(module: ModuleType, who: str, when_imported: Callable[[str], bool]) -> None:
    spec: Any = getattr(module, "__spec__", None)
    if type(spec) in (ModuleSpec, _WatchedSpec):
        vars(spec).setdefault("_when_imported", {})[who] = when_imported
        spec.__class__ = _WatchedSpec
