"""Stores a function for the processes of trials: its arguments, its globals, and its identity."""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
import types
from collections.abc import Callable, Collection
from dataclasses import dataclass

import dill
from syne_tune.constants import ST_CHECKPOINT_DIR

from syne_hypersched.backends.function._content import FunctionContent
from syne_hypersched.backends.function._portable import dump_function, portable_function


@dataclass(frozen=True)
class TuneFunction:
    """A function that has been serialised."""

    name: str
    """Its name."""
    stored: bytes
    """Two pickles: ``sys.path``, to be restored before the second is loaded, and what ``dump_function`` returns."""
    sha256: str
    """Checksum of ``stored``, in hexadecimal digits."""
    fingerprint: str
    """The same for the same function in every process; another one if it was changed."""
    imports: tuple[str, ...]
    """Modules that it imports, or uses."""
    python: str = f"{sys.version_info.major}.{sys.version_info.minor}"
    """The version of Python that has compiled it. No other can run it."""

    def check_python(self) -> None:
        """Checks that trials of this process can run it.

        Raises
        ------
        RuntimeError
            Another version of Python has stored it.
        """
        if self.python != TuneFunction.python:
            raise RuntimeError(
                f"Python must be of the version {self.python}, which has stored tune_function {self.name}, but is "
                f"{TuneFunction.python}: a stored function is compiled code. Resume the experiment with the former"
            )


def serialise(tune_function: Callable[..., object], names: Collection[str]) -> TuneFunction:
    """Serialises a function with the globals that it uses.

    The function itself, and helper functions and classes of ``__main__``, which is where scripts and notebooks define
    theirs, are stored by value; functions and classes of modules by their names. Values of globals and of enclosing
    functions are those of this moment. Functions of ``__main__`` share their globals where they run, as they do here.

    Parameters
    ----------
    tune_function
        The function.
    names
        Names of the arguments with which it is to be called; ``st_checkpoint_dir`` is passed if it is taken.

    Raises
    ------
    TypeError
        It is not a function or one that does not run when it is called, takes other arguments, or holds something that
        cannot be serialised.
    """
    if not isinstance(tune_function, types.FunctionType):
        advice = "; write a function that calls it" if hasattr(tune_function, "__call__") else ""  # noqa: B004
        raise TypeError(f"tune_function must be a function made by def or lambda, but got {tune_function!r}{advice}")
    _check_kind(tune_function)
    _check_arguments(tune_function, names)
    portable = portable_function(tune_function)
    try:
        stored = dill.dumps([os.path.abspath(path) for path in sys.path]) + dump_function(portable)
    except Exception as error:
        raise TypeError(
            f"tune_function must be serialisable with the globals that it uses, but {tune_function.__name__} is not "
            f"({type(error).__name__}: {error}). Importing or making things inside the function helps."
        ) from error
    content = FunctionContent(portable)
    checksum = hashlib.sha256(stored).hexdigest()
    return TuneFunction(
        tune_function.__name__, stored, checksum, content.fingerprint, content.imports, TuneFunction.python
    )


def _check_kind(tune_function: types.FunctionType) -> None:
    """Checks that a call of a function runs it.

    Raises
    ------
    TypeError
        It makes an object that would have to be run.
    """
    for is_kind, kind, advice in (
        (
            inspect.iscoroutinefunction,
            "a coroutine function",
            "; a function that calls asyncio.run with it can be tuned",
        ),
        (inspect.isasyncgenfunction, "an asynchronous generator function", ""),
        (inspect.isgeneratorfunction, "a generator function", ""),
    ):
        if is_kind(tune_function):
            raise TypeError(
                f"tune_function must run when it is called, but {tune_function.__name__} is {kind}, of which a call "
                f"runs nothing{advice}"
            )


def _check_arguments(tune_function: types.FunctionType, names: Collection[str]) -> None:
    """Checks that a function can be called with exactly these arguments, and ``st_checkpoint_dir`` if it takes that.

    Raises
    ------
    TypeError
        It needs another argument, or does not take one of them.
    """
    parameters = inspect.signature(tune_function).parameters
    by_keyword = {
        name for name, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }  # fmt: skip
    needed = [
        name for name, parameter in parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]  # fmt: skip
    called = f"tune_function {tune_function.__name__}{inspect.signature(tune_function)}"
    missing = [name for name in needed if name not in by_keyword or name not in {*names, ST_CHECKPOINT_DIR}]
    if missing:
        raise TypeError(
            f"{called} must have arguments that are in config_space, passed by keyword, or have a default, but "
            f"{', '.join(missing)} is not: config_space has {', '.join(names) or 'nothing'}"
        )
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        unknown = [name for name in names if name not in by_keyword]
        if unknown:
            raise TypeError(f"{called} must take every entry of config_space by keyword, but not {', '.join(unknown)}")
