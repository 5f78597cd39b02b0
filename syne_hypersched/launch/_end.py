"""Ends a script's interpreter in a fork of the preloading server, as far as a user can see a difference.

The interpreter joins threads, calls exit functions, destroys the script's own modules with all their objects, and
flushes streams. It skips the teardown of what the server had loaded before the fork, in Python and in C: that of
PyTorch takes a quarter of a second, during which the devices of the trial are not free.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import io
import os
import signal
import stat
import sys
import types
import weakref

from syne_hypersched.launch._native_threads import let_native_threads_finish

_libc = ctypes.CDLL(None)

#: Objects that may hold data that is not yet written to their file.
_WRITERS = frozenset({io.BufferedWriter, io.BufferedRandom, io.TextIOWrapper})

#: Modules that the interpreter needs for its messages at the end, those that it destroys last in any case, and the
#: names of the script (see _script.py).
_NEEDED = frozenset({"sys", "builtins", "__main__", "__mp_main__", "warnings", "linecache"})

#: Names of modules whose teardown is skipped.
_spared: frozenset[str] = frozenset()
#: The exit code of the script; None if unknown.
_exit_code: int | None = None


def register_end() -> None:
    """Registers the end. The server calls this before it loads anything: the first exit function is called last."""
    atexit.register(_before_the_end)


def spare_loaded_modules() -> None:
    """Skips the teardown of all modules loaded so far. The server calls this before its first fork."""
    global _spared
    _spared = frozenset(sys.modules.keys() - _NEEDED)
    # Buffered output must not be printed again by a fork.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    _libc.fflush(None)


def skip_destructors_of_the_server() -> None:
    """Skips what libraries have registered with C's ``exit`` and Python's ``weakref``. A fork calls this first."""
    with contextlib.suppress(AttributeError):  # another C library than glibc
        # Called with the exit code, after everything that is registered from here on.
        _libc.on_exit(_libc._exit, None)
        _libc.__cxa_atexit(_libc.fflush, None, None)
    for finalizer in getattr(weakref.finalize, "_registry", {}).values():
        finalizer.atexit = False


def expect_exit_code(code: object) -> None:
    """Records the argument of ``sys.exit`` if it is None or a small integer; others are left to the interpreter."""
    global _exit_code
    if code is None:
        _exit_code = 0
    elif type(code) is int and 0 <= code <= 255:
        _exit_code = code


def _before_the_end() -> None:
    # Objects of skipped modules are not destroyed, so their files have to be flushed here.
    for candidate in gc.get_objects():
        if type(candidate) in _WRITERS:
            with contextlib.suppress(Exception):
                if stat.S_ISREG(os.fstat(candidate.fileno()).st_mode):
                    candidate.flush()
    # The last member of the last module: when it is destroyed, all work that a user can see is done.
    vars(sys)["syne_hypersched_end"] = _End()
    if "dill._dill" in _spared:
        vars(sys.modules["dill._dill"])["_main_module"] = None  # see _script.py
    let_native_threads_finish()
    # From here on no signal handler and no other thread may run, because modules are missing.
    _drop_handlers()
    sys.setswitchinterval(10.0)
    spared = {name: sys.modules.pop(name) for name in _spared if name in sys.modules}
    # The interpreter takes the modules that are still alive in the opposite order of their import, after it has
    # destroyed the others.
    spared["syne_hypersched_end"] = sys.modules["syne_hypersched_end"] = types.ModuleType("syne_hypersched_end")
    vars(spared["syne_hypersched_end"])["namespaces"] = _Namespaces()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(spared))


def _drop_handlers() -> None:
    """Gives signals back to the kernel, as the interpreter does itself when the exit functions have been called."""
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)


class _Namespaces:
    """Clears namespaces that have outlived their modules, when it is destroyed.

    A function that was registered with a preloaded library, for instance, keeps the namespace of its module alive.
    """

    def __init__(self) -> None:
        names = [name for name in sys.modules if name not in _spared and name not in ("sys", "builtins", "__main__")]
        #: By address, since a reference would keep them alive; the address may be reused by then. In the order in which
        #: they are cleared: a script before its imports. A module may have more than one name: multiprocessing, for
        #: instance, makes ``__mp_main__`` one of the script. Its own name is the one that its namespace has.
        self._names: dict[int, object] = {}
        for name in ("__main__", *names):
            namespace = getattr(sys.modules.get(name), "__dict__", None)
            if type(namespace) is dict:
                self._names.setdefault(id(namespace), namespace.get("__name__"))
        #: The namespace of the script, which may have changed its name.
        self._main = next(iter(self._names), None)
        self._get_objects, self._collect, self._callbacks = gc.get_objects, gc.collect, gc.callbacks

    def __del__(self) -> None:
        # They may use names that are cleared here. The interpreter collects without them, too.
        self._callbacks.clear()
        found = {id(each): each for each in self._get_objects() if id(each) in self._names and type(each) is dict}
        for address, name in self._names.items():
            namespace = found.get(address)
            if namespace is not None and namespace.get("__name__") == name:
                for member in namespace:
                    if member not in ("__name__", "__builtins__"):
                        namespace[member] = None
                # Not after each of them: a script may have imported a thousand modules of a large library.
                if address == self._main:
                    self._collect()
        self._collect()


class _End:
    """Flushes the interpreter's streams when it is destroyed, and ends the process if that has worked."""

    def __init__(self) -> None:
        # In a new process these are destroyed with the module sys, even if a script has replaced them. Here objects
        # of skipped modules may keep them alive.
        self._streams = [stream for stream in (sys.__stdout__, sys.__stderr__) if stream is not None]
        self._exit, self._code = ctypes.pythonapi.exit, _exit_code
        if self._streams != [vars(sys).get("stdout"), vars(sys).get("stderr")] or not self._flush():
            self._code = None  # the interpreter must report the error, and ends as usual

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
