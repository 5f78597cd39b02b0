"""A function on its way into the processes of trials: what it takes, what it needs, and how it is told from another."""

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

from syne_hypersched.backends._function_content import FunctionContent, used_globals


@dataclass(frozen=True)
class TuneFunction:
    """A function that has been serialised."""

    name: str
    """Its name."""
    stored: bytes
    """Two pickles: ``sys.path``, to be restored before the second is loaded, and the function."""
    sha256: str
    """Checksum of ``stored``, in hexadecimal digits."""
    fingerprint: str
    """The same for the same function in every process; another one if it was changed."""
    imports: tuple[str, ...]
    """Modules that it imports, or uses."""


def serialise(tune_function: Callable[..., object], names: Collection[str]) -> TuneFunction:
    """Serialises a function with the globals that it uses.

    The function itself, and helper functions and classes of ``__main__``, which is where scripts and notebooks define
    theirs, are stored by value; functions and classes of modules by their names. Values of globals and of enclosing
    functions are those of this moment.

    Parameters
    ----------
    tune_function
        The function.
    names
        Names of the arguments with which it is to be called; ``st_checkpoint_dir`` is passed if it is taken.

    Raises
    ------
    TypeError
        It is not a function, takes other arguments, or holds something that cannot be serialised.
    """
    if not isinstance(tune_function, types.FunctionType):
        raise TypeError(f"tune_function must be a function made by def or lambda, but got {tune_function!r}")
    _check_arguments(tune_function, names)
    portable = types.FunctionType(
        tune_function.__code__,
        {name: tune_function.__globals__[name] for name in sorted(used_globals(tune_function))},
        tune_function.__name__,
        tune_function.__defaults__,
        tune_function.__closure__,
    )
    portable.__kwdefaults__ = tune_function.__kwdefaults__
    vars(portable).update(vars(tune_function))  # __wrapped__, of a function that was decorated
    # Not that of its module, which is then not needed where the function runs.
    portable.__module__ = "__main__"
    try:
        stored = dill.dumps([os.path.abspath(path) for path in sys.path]) + dill.dumps(portable, recurse=True)
    except Exception as error:
        raise TypeError(
            f"tune_function must be serialisable with the globals that it uses, but {tune_function.__name__} is not "
            f"({type(error).__name__}: {error}). Importing or making things inside the function helps."
        ) from error
    content = FunctionContent(portable)
    checksum = hashlib.sha256(stored).hexdigest()
    return TuneFunction(tune_function.__name__, stored, checksum, content.fingerprint, content.imports)


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
