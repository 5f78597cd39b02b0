"""A search space as text: ``lr=log(1e-4,1e-1) width=[8,16]``, or a TOML file with such entries."""

from __future__ import annotations

import ast
import difflib
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syne_hypersched import checks
from syne_hypersched.checks import is_number

FORMS = (
    "log(1e-4, 1e-1), uniform(0, 0.5), int(1, 8), logint(16, 1024), a list such as [8, 16] or [sgd, adam], "
    "ordinal(1, 2, 4), or a constant"
)
"""The possible forms of an entry, for messages."""

_CALL = re.compile(r"(?P<form>[A-Za-z_]+)\s*\((?P<arguments>.*)\)", re.DOTALL)
_NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
#: Notation of an interval in other tools and languages.
_RANGE = re.compile(rf"(?P<low>{_NUMBER})\s*\.\.\.?\s*(?P<high>{_NUMBER})")
#: The next entry, if it follows the end of a domain in the same text.
_NEXT_ENTRY = re.compile(r"(?<=[)\]])[\s,;]+(?P<entry>[^\W\d][\w.-]*\s*=)")
_NAME = re.compile(r"[^\W\d][\w.-]*")
#: Forms with two bounds: the function of ``syne_tune.config_space``.
_INTERVALS = {
    "log": "loguniform",
    "loguniform": "loguniform",
    "uniform": "uniform",
    "int": "randint",
    "randint": "randint",
    "logint": "lograndint",
    "lograndint": "lograndint",
}
#: Forms with a list of values.
_LISTS = {"choice": "choice", "ordinal": "ordinal"}
_RESERVED = "st_"


@dataclass(frozen=True)
class SpaceEntry:
    """One hyperparameter, or a constant that every trial gets.

    >>> entry = SpaceEntry("lr", "loguniform", (1e-4, 0.1))
    >>> entry.domain()
    loguniform(0.0001, 0.1)
    >>> SpaceEntry("epochs", "", (81,)).is_constant
    True

    Parameters
    ----------
    name
        Name of the script's argument.
    function
        The function of ``syne_tune.config_space`` that makes the domain; empty for a constant.
    values
        The two bounds, the values of a list, or the one value of a constant.
    """

    name: str
    function: str
    values: tuple[Any, ...]

    @property
    def is_constant(self) -> bool:
        """Whether the entry is a constant, so that nothing is searched."""
        return not self.function

    def domain(self) -> Any:
        """The domain of Syne Tune, or the constant."""
        if self.is_constant:
            return self.values[0]
        from syne_tune import config_space

        make = getattr(config_space, self.function)
        return make(list(self.values)) if self.function in _LISTS else make(*self.values)

    def example(self) -> Any:
        """A value of the domain: the lower bound, the first value of a list, or the constant."""
        return self.values[0]

    def source(self) -> str:
        """The domain as Python code."""
        if self.is_constant:
            return repr(self.values[0])
        arguments = list(self.values) if self.function in _LISTS else self.values
        return f"{self.function}({repr(arguments)[1:-1] if isinstance(arguments, tuple) else repr(arguments)})"

    def __str__(self) -> str:
        listed = ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in self.values)
        if self.is_constant:
            return f"always {listed}"
        return f"one of {listed}" if self.function in _LISTS else f"{self.function}({listed})"


def parse_space(texts: Sequence[str]) -> tuple[SpaceEntry, ...]:
    """Reads a space.

    Parameters
    ----------
    texts
        Each is ``NAME=DOMAIN``, or the name of a TOML file with an entry for each hyperparameter.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    TypeError
        ``texts`` is not a list of strings.
    ValueError
        A name or a domain is invalid, a name occurs twice, or nothing is searched; the message names it.
    """
    if isinstance(texts, (str, bytes)) or not checks.is_iterable(texts):
        raise TypeError(f'--space must be a list of texts, such as ["lr=log(1e-4,1e-1)"], but got {texts!r}')
    entries: list[SpaceEntry] = []
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f'--space must be a list of texts, such as ["lr=log(1e-4,1e-1)"], but has {text!r}')
        name, equals, domain = text.partition("=")
        if equals and _NAME.fullmatch(name.strip()):
            entries.append(parse_entry(name.strip(), domain))
        elif equals and not Path(text).is_file():
            raise ValueError(
                f"--space must have names of letters, digits, '_', '.' and '-' that begin with a letter or '_', such "
                f"as lr=log(1e-4,1e-1), but got {text!r}"
            )
        else:
            entries += _from_file(Path(text))
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"--space must have every name once, but has {name!r} {names.count(name)} times")
    if not any(not entry.is_constant for entry in entries):
        given = f"only constants: {', '.join(names)}" if names else "nothing"
        raise ValueError(f"--space must have something to search, such as lr=log(1e-4,1e-1), but has {given}")
    return tuple(entries)


def parse_entry(name: str, value: Any) -> SpaceEntry:
    """Reads one entry.

    Parameters
    ----------
    name
        Name of the hyperparameter.
    value
        A text such as ``"log(1e-4, 1e-1)"``, a list of values, or a constant.

    Raises
    ------
    ValueError
        The name is reserved, or the value is not a domain; the message has the name and the value.
    """
    if not _NAME.fullmatch(name) or name.startswith(_RESERVED):
        raise ValueError(
            f"a name in --space must be of letters, digits, '_', '.' and '-', and not begin with a digit or with "
            f"{_RESERVED!r}, but got {name!r}"
        )
    if isinstance(value, str):
        return _from_text(name, value.strip())
    if isinstance(value, list):
        return _list(name, "choice", value, value)
    if isinstance(value, (bool, int, float)):
        return SpaceEntry(name, "", (_finite(name, value),))
    raise _invalid(name, value)


def _from_text(name: str, text: str) -> SpaceEntry:
    if not text:
        raise _invalid(name, text)
    if not set(text) & set("\"'") and (more := _NEXT_ENTRY.search(text)) is not None:
        first, second = text[: more.start()].strip(), text[more.start("entry") :].strip()
        raise _invalid(name, text, f"entries are words of their own, so quote each: '{name}={first}' '{second}'")
    if text.startswith("[") or text.endswith("]"):
        if not (text.startswith("[") and text.endswith("]")):
            raise _invalid(name, text, "a bracket is missing")
        return _list(name, "choice", _items(text[1:-1]), text)
    call = _CALL.fullmatch(text)
    if call is None:
        if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" and re.search(r"[(\[]", text):
            raise _invalid(name, text, f"it is quoted like a text: leave the quotes out, {name}={text[1:-1]}")
        if text.startswith("(") and text.endswith(")"):
            inside = text[1:-1].strip()
            raise _invalid(name, text, f"write a list as [{inside}], and bounds with a form, such as uniform({inside})")
        if "(" in text or ")" in text:
            raise _invalid(name, text, "a bracket is missing")
        if (bounds := _RANGE.fullmatch(text)) is not None:
            raise _invalid(name, text, f"write bounds with a form, such as uniform({bounds['low']}, {bounds['high']})")
        constant = _literal(text)
        if constant == text and "," in text:
            raise _invalid(name, text, f"a list needs brackets, [{text}], and a text with a comma needs quotes")
        return SpaceEntry(name, "", (_finite(name, constant),))
    form, items = call["form"], _items(call["arguments"])
    if form in _LISTS:
        nested = len(items) == 1 and isinstance(items[0], (list, tuple))
        return _list(name, _LISTS[form], list(items[0]) if nested else items, text)
    if form not in _INTERVALS:
        near = difflib.get_close_matches(form, [*_INTERVALS, *_LISTS], n=1)
        raise _invalid(name, text, f"there is no {form!r}{f', did you mean {near[0]!r}?' if near else ''}")
    return _interval(name, _INTERVALS[form], items, text)


def _interval(name: str, function: str, bounds: list[Any], text: str) -> SpaceEntry:
    is_integer, is_log = "int" in function, function.startswith("log")
    if len(bounds) != 2 or not all(is_number(bound) and math.isfinite(bound) for bound in bounds):
        raise _invalid(name, text, "it needs two numbers")
    low, high = bounds
    if is_integer and not all(float(bound).is_integer() for bound in bounds):
        raise _invalid(name, text, "both bounds must be integers")
    if is_log and low <= 0:
        raise _invalid(name, text, f"a logarithmic scale needs a lower bound above 0, not {low!r}")
    if low >= high:
        raise _invalid(name, text, f"the lower bound {low!r} must be below the upper bound {high!r}")
    return SpaceEntry(name, function, tuple((int if is_integer else float)(bound) for bound in bounds))


def _list(name: str, function: str, values: Iterable[Any], given: Any) -> SpaceEntry:
    values = list(values)
    if not values or not all(isinstance(value, (bool, int, float, str)) for value in values):
        raise _invalid(name, given, "a list must have numbers, texts, true or false")
    distinct = {(type(value), value) for value in values}
    if len(distinct) < len(values):
        raise _invalid(name, given, "a value occurs twice")
    for value in values:
        _finite(name, value)
    return SpaceEntry(name, function if len(values) > 1 else "", tuple(values))


def _items(text: str) -> list[Any]:
    """The values between brackets. Texts need no quotes, since a shell would remove them."""
    if not text.strip():
        return []
    try:
        return list(ast.literal_eval(f"[{text}]"))
    except (SyntaxError, ValueError):
        return [_literal(item.strip()) for item in text.split(",")]


def _literal(text: str) -> Any:
    constants = {"true": True, "false": False}
    if text.lower() in constants:
        return constants[text.lower()]
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
    return value if isinstance(value, (int, float, str)) else text


def _finite(name: str, value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise _invalid(name, value, "a number must be finite")
    return value


def _invalid(name: str, value: object, why: str = "") -> ValueError:
    return ValueError(f"{name!r} in --space must be {FORMS}, but is {value!r}{f': {why}' if why else ''}")


def _from_file(path: Path) -> list[SpaceEntry]:
    if not path.is_file():
        raise FileNotFoundError(
            f"--space must be an existing TOML file or NAME=DOMAIN, such as lr=log(1e-4,1e-1), but got {str(path)!r}"
        )
    content = _read_toml(path)
    if len(content) == 1 and isinstance(content.get("space"), Mapping):
        content = dict(content["space"])
    try:
        return [parse_entry(name, value) for name, value in content.items()]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _read_toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return dict(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f'{path} must be a TOML file with lines such as lr = "log(1e-4, 1e-1)", but is not: {error}'
        ) from None
