"""A Python script in a forked process, run and ended as ``python SCRIPT ARGUMENTS`` would run and end it.

A fork for a script leaves all functions of the server, by an exception, up to where its interpreter has started. There
the script runs, and then the interpreter ends as usual, with threads, exit functions, destructors and open files; see
``_end.py``.
"""

from __future__ import annotations

import builtins
import ctypes
import importlib.machinery
import os
import sys
import types
from pathlib import Path

from syne_hypersched.launch._end import expect_exit_code, skip_destructors_of_the_server

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fopen.restype = ctypes.c_void_p
_run_file = ctypes.pythonapi.PyRun_FileExFlags
_run_file.argtypes = (
    ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.py_object, ctypes.py_object, ctypes.c_int, ctypes.c_void_p,
)  # fmt: skip
_run_file.restype = ctypes.py_object
_FILE_INPUT = 257


class ScriptStart(BaseException):
    """Tells the outermost function to run the script with these arguments in this process."""

    def __init__(self, argv: tuple[str, ...]) -> None:
        super().__init__(argv)
        self.argv = argv
        # The frames that this leaves hold objects of the server. They are never destroyed here: that would close file
        # descriptors that belong to the script by then.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))


def run_script(argv: tuple[str, ...]) -> None:
    """Runs a Python script as ``python SCRIPT ARGUMENTS`` would. Call it where the interpreter has started.

    Raises
    ------
    SystemExit
        The interpreter ends by it, unless it simply returns.
    KeyboardInterrupt
        The interpreter ends by it; it has been reported already.
    """
    skip_destructors_of_the_server()
    path = os.path.abspath(argv[0])
    sys.argv = list(argv)
    sys.orig_argv = [sys.executable, *argv]
    if not getattr(sys.flags, "safe_path", False):  # of Python 3.11
        sys.path.insert(0, str(Path(path).resolve().parent))
    file = _libc.fopen(os.fsencode(path), b"rb")
    if file is None:
        error = ctypes.get_errno()
        print(f"{sys.executable}: can't open file {path!r}: [Errno {error}] {os.strerror(error)}", file=sys.stderr)
        sys.exit(2)
    main = types.ModuleType("__main__")
    namespace = vars(main)
    namespace.update(__annotations__={}, __builtins__=builtins, __file__=path, __cached__=None)
    namespace["__loader__"] = importlib.machinery.SourceFileLoader("__main__", path)
    sys.modules["__main__"] = main
    if "__mp_main__" in sys.modules:  # multiprocessing's other name of the module that it was imported under
        sys.modules["__mp_main__"] = main
    if "dill._dill" in sys.modules:  # remembers the module of that name that it was imported under
        vars(sys.modules["dill._dill"])["_main_module"] = main
    del main  # so that the module is destroyed when sys.modules is emptied
    failure: BaseException | None = None
    try:
        _run_file(file, os.fsencode(path), _FILE_INPUT, namespace, namespace, 1, None)
        expect_exit_code(None)
    except SystemExit as end:
        expect_exit_code(end.code)
        raise
    except BaseException as exception:
        failure = exception.with_traceback(exception.__traceback__ and exception.__traceback__.tb_next)
    if failure is not None:
        _report(failure)
    for name in ("__file__", "__cached__"):  # as the interpreter does, before it calls exit functions
        namespace.pop(name, None)
    if type(failure) is KeyboardInterrupt:
        # The interpreter must die of the signal after its end.
        sys.excepthook = _Silent()
        raise failure
    if failure is not None:
        expect_exit_code(1)
        sys.exit(1)


def _report(failure: BaseException) -> None:
    """Reports an uncaught exception as the interpreter does (``PyErr_Print``)."""
    kind, traceback = type(failure), failure.__traceback__
    last = {"last_type": kind, "last_value": failure, "last_traceback": traceback}
    if sys.version_info >= (3, 12):
        last["last_exc"] = failure
    vars(sys).update(last)
    display, write = sys.__excepthook__, ctypes.pythonapi.PySys_WriteStderr
    hook = vars(sys).get("excepthook", None)
    if "excepthook" not in vars(sys):
        write(b"sys.excepthook is missing\n")
        hook = display
    second: BaseException | None = None
    try:
        hook(kind, failure, traceback)  # type: ignore[misc]
    except SystemExit:
        raise
    except BaseException as exception:
        second = exception.with_traceback(exception.__traceback__ and exception.__traceback__.tb_next)
    if second is not None:
        write(b"Error in sys.excepthook:\n")
        display(type(second), second, second.__traceback__)
        write(b"\nOriginal exception was:\n")
        display(kind, failure, traceback)


class _Silent:
    """An exception hook that prints nothing, since the exception was reported, and restores the hook before it."""

    def __init__(self) -> None:
        names = ("excepthook", "last_exc", "last_type", "last_value", "last_traceback")
        self._before = {name: vars(sys)[name] for name in names if name in vars(sys)}

    def __call__(self, *exception: object) -> None:
        vars(sys).update(self._before)
