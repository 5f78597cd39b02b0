"""How much of the interpreter's end a script in a fork of the preloading server goes through: what can be seen of it.

Threads are joined, exit functions called, the script's own modules destroyed with all that they hold, and streams
flushed, by the interpreter. What the server had loaded before it forked is left as it is, in Python as in C: tearing
down PyTorch takes a quarter of a second, during which the devices of the trial are not free.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import io
import os
import stat
import sys
import types
import weakref

_libc = ctypes.CDLL(None)

#: Objects that may hold data that is not in their file yet.
_WRITERS = frozenset({io.BufferedWriter, io.BufferedRandom, io.TextIOWrapper})

#: Modules that the interpreter uses for what it says at its end, and those that it ends with in any case.
_NEEDED = frozenset({"sys", "builtins", "__main__", "warnings", "linecache"})

#: Names of modules that are left as they are.
_spared: frozenset[str] = frozenset()
#: The exit code of the script; None: not known.
_exit_code: int | None = None


def register_end() -> None:
    """To be called in the server before it loads anything: exit functions are called last if registered first."""
    atexit.register(_before_the_end)


def spare_loaded_modules() -> None:
    """To be called in the server when it has loaded what it is to load, and will fork next."""
    global _spared
    _spared = frozenset(sys.modules.keys() - _NEEDED)
    # No fork may print again what has been printed.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    _libc.fflush(None)


def skip_destructors_of_the_server() -> None:
    """To be called in a fork: what libraries have registered with C's ``exit`` and Python's ``weakref`` is skipped."""
    with contextlib.suppress(AttributeError):  # another C library than glibc
        # Called with the exit code, after everything that is registered from here on.
        _libc.on_exit(_libc._exit, None)
        _libc.__cxa_atexit(_libc.fflush, None, None)
    for finalizer in getattr(weakref.finalize, "_registry", {}).values():
        finalizer.atexit = False


def expect_exit_code(code: object) -> None:
    """Notes what the script gives to ``sys.exit``; nothing is known of what is neither None nor a small number."""
    global _exit_code
    if code is None:
        _exit_code = 0
    elif type(code) is int and 0 <= code <= 255:
        _exit_code = code


def _before_the_end() -> None:
    # What the modules that stay refer to is not destroyed; no file may stay unwritten for that.
    for candidate in gc.get_objects():
        if type(candidate) in _WRITERS:
            with contextlib.suppress(Exception):
                if stat.S_ISREG(os.fstat(candidate.fileno()).st_mode):
                    candidate.flush()
    # The last member of the last module: when it is destroyed, nothing is left to be seen.
    vars(sys)["syne_hypersched_end"] = _End()
    if "dill._dill" in _spared:
        vars(sys.modules["dill._dill"])["_main_module"] = None  # see _script.py
    # From here to the end no other thread gets to look at what is missing.
    sys.setswitchinterval(10.0)
    spared = {name: sys.modules.pop(name) for name in _spared if name in sys.modules}
    # The interpreter takes the modules that are still alive in the opposite order of their import, after it has
    # destroyed the others.
    spared["syne_hypersched_end"] = sys.modules["syne_hypersched_end"] = types.ModuleType("syne_hypersched_end")
    vars(spared["syne_hypersched_end"])["namespaces"] = _Namespaces()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(spared))


class _Namespaces:
    """When it is destroyed, empties namespaces that have outlived their modules.

    A function that was registered with a preloaded library, for instance, keeps that of its module.
    """

    def __init__(self) -> None:
        names = [name for name in sys.modules if name not in _spared and name not in ("sys", "builtins", "__main__")]
        #: By their addresses, since nothing must refer to them; there may be something else by then. In the order in
        #: which they are emptied: a script before what it has imported.
        self._names = {id(getattr(sys.modules.get(name), "__dict__", None)): name for name in ("__main__", *names)}
        self._get_objects, self._collect = gc.get_objects, gc.collect

    def __del__(self) -> None:
        found = {id(each): each for each in self._get_objects() if id(each) in self._names and type(each) is dict}
        for address, name in self._names.items():
            namespace = found.get(address)
            if namespace is not None and namespace.get("__name__") == name:
                for member in namespace:
                    if member not in ("__name__", "__builtins__"):
                        namespace[member] = None
                # Not after each of them: a script may have imported a thousand modules of a large library.
                if name == "__main__":
                    self._collect()
        self._collect()


class _End:
    """Writes out the interpreter's streams when it is destroyed, and then ends the process if all is well with them."""

    def __init__(self) -> None:
        # As in a new process these are destroyed with the module sys, whatever a script has put in their places. Here
        # what is left alone may refer to them.
        self._streams = [stream for stream in (sys.__stdout__, sys.__stderr__) if stream is not None]
        self._exit, self._code = ctypes.pythonapi.exit, _exit_code
        if self._streams != [vars(sys).get("stdout"), vars(sys).get("stderr")] or not self._flush():
            self._code = None  # the interpreter has something to say, and goes on to its very end

    def __del__(self) -> None:
        if self._flush() and self._code is not None:
            self._exit(self._code)

    def _flush(self) -> bool:
        is_well = True
        for stream in self._streams:
            try:
                stream.flush()
            except BaseException:
                is_well = False
        return is_well
