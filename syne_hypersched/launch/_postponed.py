"""What imports change beyond their own modules happens in a fork when its script imports them, as in a new process.

Syne Tune's reporter, for instance, gives the root logger a handler when it is imported. In a fork of the preloading
server it is loaded already, and a script that calls ``logging.basicConfig`` before it imports the reporter would not be
heeded: its format, level and file would be those of the import. Libraries also ask for the folder of temporary files,
which Python then keeps, whatever ``TMPDIR`` a script sets before it imports them. They insert filters of warnings,
which would come after those that the script inserts first. And they set variables of the environment, which a launch
gets anew.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from syne_hypersched.launch._import_watch import watch_imports


@dataclass(frozen=True)
class _Effect:
    """What an import has changed."""

    packages: frozenset[str]
    """The packages of the modules that were being imported: importing one of them has this effect."""
    again: Callable[[], object]
    """Does it again."""
    filter: tuple[Any, ...] | None = None
    """The filter of warnings that it has inserted."""


class PostponedEffects:
    """Notes what imports do to the state that a script shares with them, and does it later in a fork.

    That is the root logger, the folder of temporary files, the filters of warnings, and the environment.

    The server makes it before it imports anything for scripts.
    """

    def __init__(self) -> None:
        self._effects: list[_Effect] = []
        self._has_started = False
        # Only here: a server that imports nothing must not have loaded what a file beside the script may be named like.
        import tempfile

        root, self._tempfile = logging.root, tempfile
        self._handlers, self._level = root.handlers[:], root.level
        self._tempdir, self._find_tempdir = tempfile.tempdir, vars(tempfile).get("_get_default_tempdir")
        # Members of the logger itself hide the methods of its class.
        vars(root).update(addHandler=self._add_handler, setLevel=self._set_level)
        if self._find_tempdir is not None:
            vars(self._tempfile)["_get_default_tempdir"] = self._tempdir_is_asked_for
        self._filters, self._insert_filter = warnings.filters[:], vars(warnings).get("_add_filter")
        if self._insert_filter is not None:
            vars(warnings)["_add_filter"] = self._add_filter
        self._put, self._unset = os.putenv, os.unsetenv
        vars(os).update(putenv=self._putenv, unsetenv=self._unsetenv)

    def watch(self) -> None:
        """Watches the imports of the packages that have done something so far."""
        # A filter that was inserted for a while, in a context, is gone.
        self._effects = [
            effect for effect in self._effects if effect.filter is None or effect.filter in warnings.filters
        ]
        packages = frozenset[str]().union(*(effect.packages for effect in self._effects))
        watch_imports(packages, "effects", self.package_is_imported)

    def start(self) -> None:
        """Undoes everything for a script that begins now in this process."""
        self._has_started = True
        root = logging.root
        for name in ("addHandler", "setLevel"):
            vars(root).pop(name, None)
        root.handlers[:] = self._handlers
        root.setLevel(self._level)
        if self._find_tempdir is not None:
            vars(self._tempfile).update(_get_default_tempdir=self._find_tempdir, tempdir=self._tempdir)
        if self._insert_filter is not None:
            vars(warnings)["_add_filter"] = self._insert_filter
            warnings.filters[:] = self._filters  # type: ignore[index]
            vars(warnings)["_filters_mutated"]()
        vars(os).update(putenv=self._put, unsetenv=self._unset)
        began = vars(logging).get("_startTime")  # in nanoseconds from Python 3.13 on
        if began is not None:
            vars(logging)["_startTime"] = time.time_ns() if isinstance(began, int) else time.time()

    def package_is_imported(self, name: str) -> bool:
        """Does what the import of a package did in the server, when the script imports it.

        Returns whether the script has started, so that this module need not be watched any more.
        """
        if not self._has_started:
            return False
        due = [effect for effect in self._effects if name in effect.packages]
        self._effects = [effect for effect in self._effects if name not in effect.packages]
        for effect in due:
            effect.again()
        return True

    def _note(self, again: Callable[[], object], inserted: tuple[Any, ...] | None = None) -> None:
        packages = _being_imported()
        if packages:
            self._effects.append(_Effect(packages, again, inserted))

    def _add_handler(self, handler: logging.Handler) -> None:
        only_the_first = _is_inside(logging.basicConfig)
        logging.Logger.addHandler(logging.root, handler)

        def again() -> None:
            if only_the_first and logging.root.handlers:
                return
            if type(handler) is logging.StreamHandler and handler.stream is sys.__stderr__ and sys.stderr is not None:
                handler.setStream(sys.stderr)  # the script may have replaced it
            logging.Logger.addHandler(logging.root, handler)

        self._note(again)

    def _set_level(self, level: int | str) -> None:
        logging.Logger.setLevel(logging.root, level)
        only_with_handler = _is_inside(logging.basicConfig)
        handler = logging.root.handlers[-1] if only_with_handler and logging.root.handlers else None

        def again() -> None:
            if handler is None or handler in logging.root.handlers:
                logging.Logger.setLevel(logging.root, level)

        self._note(again)

    def _tempdir_is_asked_for(self) -> Any:
        assert self._find_tempdir is not None
        found = self._find_tempdir()
        self._note(self._tempfile.gettempdir)
        return found

    def _add_filter(self, *item: Any, append: bool) -> None:
        assert self._insert_filter is not None
        insert = functools.partial(self._insert_filter, *item, append=append)
        insert()
        self._note(insert, item)

    def _putenv(self, name: bytes | str, value: bytes | str) -> None:
        self._change_variable(name, os.fsencode(value))
        self._put(name, value)

    def _unsetenv(self, name: bytes | str) -> None:
        self._change_variable(name, None)
        self._unset(name)

    def _change_variable(self, name: bytes | str, value: bytes | None) -> None:
        key = os.fsencode(name)
        before = os.environb.get(key)

        def again() -> None:
            # What the script or its launch has set may be what the import would have left alone.
            if os.environb.get(key) == before:
                os.environb.pop(key, None) if value is None else os.environb.__setitem__(key, value)

        self._note(again)


def _being_imported() -> frozenset[str]:
    """The packages of the modules whose code is being run in this thread, from the innermost on."""
    frame: Any = sys._getframe()
    names = set()
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            names.add(str(frame.f_globals.get("__name__")).partition(".")[0])
        frame = frame.f_back
    return frozenset(names - {"__main__"})


def _is_inside(function: Callable[..., Any]) -> bool:
    """Whether this thread runs a function."""
    frame: Any = sys._getframe()
    code = getattr(function, "__code__", None)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame is not None


_effects: PostponedEffects | None = None


def postpone_effects() -> None:
    """Notes what imports do from now on. The server calls this before it imports something for scripts."""
    global _effects
    if _effects is None:
        _effects = PostponedEffects()


def watch_postponed() -> None:
    """Watches the imports that have done something. The server calls this when it has imported everything."""
    if _effects is not None:
        _effects.watch()


def start_without_effects() -> None:
    """Gives a fork of the server the state that a new process has, whose main thread this one is."""
    if _effects is not None:
        _effects.start()
    set_native_id = getattr(threading.main_thread(), "_set_native_id", None)
    if set_native_id is not None:
        set_native_id()
