"""Checks of arguments. An error names the argument, the rule and the value.

NumPy numbers are accepted as numbers. Strings and booleans are not numbers.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

T = TypeVar("T")

LONGEST_S = 1e9
"""Seconds that mean "no limit": 31 years. Every waiting function of the system accepts this value."""

#: The beginning of a URL. A path object has one slash less.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def number(
    name: str,
    value: object,
    rule: str = "a finite number",
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    below: float = math.inf,
    at_most: float = math.inf,
) -> float:
    """A finite number within bounds.

    Parameters
    ----------
    name, value
        Name and value of the argument.
    rule
        The rule in words, for the message.
    above, at_least, below, at_most
        Bounds: ``above`` and ``below`` are exclusive.

    Returns
    -------
    float
        The number.

    Raises
    ------
    TypeError
        The value is not a number.
    ValueError
        The value is not finite, or is out of bounds.
    """
    return float(plain_number(name, value, rule, above=above, at_least=at_least, below=below, at_most=at_most))


def plain_number(
    name: str,
    value: object,
    rule: str = "a finite number",
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    below: float = math.inf,
    at_most: float = math.inf,
) -> float:
    """A finite number within bounds, with a Python type: an ``int`` if it has an integer type.

    For parameters and errors, see :func:`number`.
    """
    if not is_number(value):
        raise TypeError(f"{name} must be {rule}, but got {value!r}")
    try:
        plain: float = _plain(value)
        is_fine = math.isfinite(plain) and above < plain < below and at_least <= plain <= at_most
    except OverflowError:
        is_fine = False
    if not is_fine:
        raise ValueError(f"{name} must be {rule}, but got {value!r}")
    return plain


def _plain(value: Any) -> float:
    return int(value) if isinstance(value, Integral) else float(value)


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a number of Python or NumPy, and not a boolean."""
    return isinstance(value, Real) and type(value).__name__ not in ("bool", "bool_")


def is_iterable(value: object) -> TypeGuard[Iterable[Any]]:
    """Whether a value can be iterated. A NumPy array without dimensions cannot, although it claims to."""
    return isinstance(value, Iterable) and getattr(value, "ndim", 1) != 0


def positive_seconds(name: str, value: object) -> float:
    """A positive number of seconds; see :func:`number`."""
    return number(name, value, "a positive number of seconds", above=0.0)


def seconds(name: str, value: object) -> float:
    """A number of seconds, at least 0; see :func:`number`."""
    return number(name, value, "a number of seconds, at least 0", at_least=0.0)


def integer(name: str, value: object, at_least: int | None = None, at_most: int | None = None, why: str = "") -> int:
    """An integer within bounds.

    Parameters
    ----------
    name, value
        Name and value of the argument.
    at_least, at_most
        Bounds.
    why
        Meaning of the upper bound, in words, for the message.

    Raises
    ------
    TypeError
        The value is not an integer.
    ValueError
        The value is out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, but got {value!r}")
    integer_ = int(value)
    too_small = at_least is not None and integer_ < at_least
    if too_small or (at_most is not None and integer_ > at_most):
        if at_most is None:
            raise ValueError(f"{name} must be at least {at_least}, but got {value!r}")
        bounds = f"at most {at_most}" if at_least is None else f"from {at_least} to {at_most}"
        raise ValueError(f"{name} must be {bounds}{f', {why}' if why else ''}, but got {value!r}")
    return integer_


def positive_integer(name: str, value: object) -> int:
    """An integer of at least 1; see :func:`integer`."""
    return integer(name, value, at_least=1)


def truth(name: str, value: object, rule: str = "True or False") -> bool:
    """A boolean of Python or NumPy.

    Raises
    ------
    TypeError
        The value is anything else, such as the string ``"False"``, which counts as true.
    """
    if type(value).__name__ not in ("bool", "bool_"):
        raise TypeError(f"{name} must be {rule}, but got {value!r}")
    return bool(value)


def text(name: str, value: object, rule: str = "a text that is not empty") -> str:
    """A string that is not empty.

    Raises
    ------
    TypeError
        The value is not a string.
    ValueError
        The string is empty.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be {rule}, but got {value!r}")
    if not value:
        raise ValueError(f"{name} must be {rule}, but got {value!r}")
    return value


def names(name: str, value: Any) -> tuple[str, ...]:
    """A sequence of names.

    Raises
    ------
    TypeError
        The value is not a sequence; for example, it is a single name.
    ValueError
        A name is empty.
    """
    if isinstance(value, str) or not is_iterable(value):
        raise TypeError(f'{name} must be a sequence of names, such as ["torch"], but got {value!r}')
    return tuple(text(name, each, "a sequence of names") for each in value)


def path(name: str, value: object, rule: str = "a path") -> Path:
    """A path, given as a string or a path object.

    Raises
    ------
    TypeError
        The value is neither.
    ValueError
        The path is empty.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be {rule}, but got {value!r}")
    if not os.fspath(value):
        raise ValueError(f"{name} must be {rule}, but got {value!r}")
    return Path(value)


def folder(name: str, value: object) -> Path:
    """The path of a folder that this and other machines can access. It is not a URL, which would become a folder name.

    Raises
    ------
    TypeError
        The value is not a path.
    ValueError
        The path is empty or a URL.
    """
    at = path(name, value, "the path of a folder")
    if _URL.match(str(at)):
        raise ValueError(
            f"{name} must be the path of a folder, but got the URL {str(value)!r}: mount it, and give the path"
        )
    return at


def output_file(name: str, value: object) -> Path:
    """The path of a file to write. It must have a file name.

    Raises
    ------
    TypeError
        The value is not a path.
    ValueError
        The path is empty, or is a folder.
    """
    file = path(name, value, "a file to be written")
    if file.name in ("", "..") or file.is_dir():
        raise ValueError(f"{name} must be a file to be written, but {str(file)!r} is a folder")
    return file


def output_file_in_place(name: str, value: object) -> Path:
    """The same as :func:`output_file`, for a file whose folder must exist.

    Raises
    ------
    TypeError, ValueError
        As in :func:`output_file`, or the folder does not exist.
    """
    file = output_file(name, value)
    if not file.absolute().parent.exists():
        raise ValueError(f"{name} must be in an existing folder, but {str(file.parent)!r} does not exist")
    return file


def output_folder(name: str, value: object) -> Path:
    """The path of a folder to write to, or to make.

    Raises
    ------
    TypeError
        The value is not a path.
    ValueError
        The path is empty, or is a file.
    """
    folder = path(name, value, "a folder to be written into")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{name} must be a folder to be written into, but {str(folder)!r} is a file")
    return folder


def instance(name: str, value: object, kind: type[T], rule: str) -> T:
    """An object of a class.

    Raises
    ------
    TypeError
        The value has another class. For example, it is the name of an experiment, and not the experiment itself.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {rule}, but got {value!r}")
    return value


def instances(name: str, values: Any, kind: type[T], rule: str) -> tuple[T, ...]:
    """Objects of a class, as a tuple.

    Raises
    ------
    TypeError
        The value is not a sequence of such objects.
    """
    if isinstance(values, (str, bytes)) or not is_iterable(values):
        raise TypeError(f"{name} must be {rule}, but got {values!r}")
    return tuple(instance(f"each of {name}", value, kind, f"one of {rule}") for value in values)


def one_of(name: str, value: Any, choices: Sequence[Any]) -> Any:
    """One of a few values.

    Raises
    ------
    ValueError
        The value is not among the choices.
    """
    if not is_one_of(value, choices):
        *most, last = (f'"{choice}"' if isinstance(choice, str) else repr(choice) for choice in choices)
        listed = f"{', '.join(most)} or {last}" if most else last
        raise ValueError(f"{name} must be {listed}, but got {value!r}")
    return value


def is_one_of(value: object, choices: Sequence[Any]) -> bool:
    """Whether a value is one of the choices. The result is a boolean for any value, even an array."""
    return any(_is_choice(value, choice) for choice in choices)


def _is_choice(value: Any, choice: Any) -> bool:
    """Whether two values are equal and of the same kind: ``True`` is not a number."""
    same_kind = isinstance(value, type(choice)) and isinstance(value, bool) == isinstance(choice, bool)
    return same_kind and bool(value == choice)
