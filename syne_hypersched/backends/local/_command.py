"""The command that runs a trial's script: a list of arguments, without a shell."""

from __future__ import annotations

import logging
import re
import shlex
import string
import sys
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any

from syne_tune.constants import ST_CHECKPOINT_DIR, ST_CONFIG_JSON_FNAME_ARG

logger = logging.getLogger(__name__)

#: The placeholder for all entries without a placeholder of their own.
_EVERYTHING = "{...}"

#: What argparse takes for a negative number and not for an option, in all versions of Python.
_NEGATIVE_NUMBER = re.compile(r"-\d+|-\d*\.\d+")


def program(binary: str | Sequence[str] | None, entry_point: Path) -> tuple[str, ...]:
    """What runs ``entry_point``: by default this interpreter if it is a Python script, else nothing but itself.

    Raises
    ------
    TypeError
        ``binary`` is neither text nor a sequence of texts.
    ValueError
        It names no program.
    """
    if binary is None:
        return (sys.executable,) if entry_point.suffix == ".py" else ()
    given: object = binary
    if not isinstance(given, (str, Sequence)) or isinstance(given, (bytes, bytearray)):
        raise TypeError(f"binary must be a command line, or a list of its words, but got {binary!r}")
    parts = tuple(shlex.split(binary) if isinstance(binary, str) else binary)
    if not parts or not all(isinstance(part, str) for part in parts):
        raise ValueError(f"binary must name a program, but got {binary!r}")
    return parts


def can_be_forked(binary: object, entry_point: Path) -> bool:
    """Whether a server can run it in a fork: Python source, which an archive is not, whatever its name is."""
    return binary is None and entry_point.suffix == ".py" and not zipfile.is_zipfile(entry_point)


class ArgumentTemplate:
    """The arguments of a script, with placeholders for the values of a configuration.

    Parameters
    ----------
    parts
        One entry for each argument: text with ``{NAME}`` or ``{NAME:FORMAT}`` for a value, and ``{{`` and ``}}`` for
        braces. Two kinds of entries can give several arguments or none: ``{...}`` gives all entries without a
        placeholder of their own, as ``--name value``; ``{?NAME}`` gives ``--NAME`` if the value is true, else nothing.
        ``{?NAME:YES|NO}`` gives the argument ``YES`` or ``NO`` instead; either may be empty, which gives no argument.

    Raises
    ------
    TypeError
        ``parts`` is not a list of strings.
    ValueError
        An entry cannot be read.
    """

    def __init__(self, parts: Sequence[str] = (_EVERYTHING,)) -> None:
        if isinstance(parts, (str, bytes)) or not isinstance(parts, Sequence):
            raise TypeError(f'arguments must be a list of strings, such as ["--lr", "{{lr}}"], but got {parts!r}')
        for part in parts:
            if not isinstance(part, str):
                raise TypeError(f"arguments must be a list of strings, but has {part!r}")
        self.parts = tuple(parts)
        self._fields = tuple(_parse(part) for part in self.parts)
        #: Names of the values that have a place of their own.
        self.names = frozenset(
            name.removeprefix("?")
            for fields in self._fields
            for _, name, _ in fields
            if name is not None and name != "..."
        )

    def left_out(self, names: Iterable[str]) -> list[str]:
        """Those of some values that the script is not given."""
        return [] if _EVERYTHING in self.parts else [name for name in names if name not in self.names]

    def fill(self, values: Mapping[str, Any], everything: Mapping[str, Any]) -> tuple[str, ...]:
        """The arguments.

        Parameters
        ----------
        values
            The values by name.
        everything
            The values for ``{...}``, except those that have a placeholder of their own.

        Raises
        ------
        ValueError
            A placeholder has no value, a flag is neither true nor false, a format does not fit, or a value cannot be
            passed to a program.
        """
        unknown = sorted(self.names - values.keys())
        if unknown:
            raise ValueError(
                f"arguments must have placeholders only for {', '.join(values)}, but has "
                f"{', '.join(f'{{{name}}}' for name in unknown)}"
            )
        filled: list[str] = []
        for fields in self._fields:
            name, spec = fields[0][1:] if fields else (None, "")
            if name == "...":
                for item in everything.items():
                    filled += _argument(*item) if item[0] not in self.names else ()
            elif name is not None and name.startswith("?"):
                filled += _flag(name[1:], values[name[1:]], spec)
            else:
                filled.append("".join(text + _formatted(values, name, spec) for text, name, spec in fields))
        for argument in filled:
            if "\0" in argument:
                raise ValueError(
                    f"config must hold no null character, which no program can be given, but has it in {argument!r}"
                )
        return tuple(filled)


def _parse(part: str) -> tuple[tuple[str, str | None, str], ...]:
    """Texts of a part, each with the name and format of the placeholder after it, if there is one."""
    try:
        parsed = tuple(string.Formatter().parse(part))
    except ValueError as error:
        raise ValueError(
            f"arguments must have a closing brace for each opening one, and two of them for a brace, but has {part!r}"
        ) from error
    for text, name, spec, conversion in parsed:
        if name is None:
            continue
        if name in ("", "?") or conversion or "{" in (spec or ""):
            raise ValueError(
                "arguments must have a name, and perhaps a format, in each pair of braces, and two braces for one that "
                f"is meant, but has {part!r}"
            )
        if (name == "..." or name.startswith("?")) and (text or len(parsed) > 1):
            raise ValueError(f"arguments must have {{{name}}} as an entry of its own, but has {part!r}")
    return tuple((text, name, spec or "") for text, name, spec, _ in parsed)


def _formatted(values: Mapping[str, Any], name: str | None, spec: str) -> str:
    if name is None:
        return ""
    try:
        return format(values[name], spec) if spec else str(values[name])
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"arguments must have formats that fit the values, but has {{{name}:{spec}}} for {values[name]!r}"
        ) from error


def _flag(name: str, value: Any, spec: str) -> tuple[str, ...]:
    if isinstance(value, str) or value not in (False, True):
        raise ValueError(f"arguments must have {{?{name}}} for a value that is true or false, but it is {value!r}")
    yes, _, no = (spec or f"--{name}").partition("|")
    chosen = yes if value else no
    return (chosen,) if chosen else ()


def script_arguments(
    config: Mapping[str, Any],
    config_json: Path | None,
    checkpoint_path: Path,
    template: ArgumentTemplate | None = None,
) -> tuple[str, ...]:
    """The arguments of a script: by default ``--name value``, which every argument parser understands.

    A value that begins with a hyphen may be taken for an option. :mod:`argparse` accepts negative numbers if they have
    no exponent, so they are written without one. Other such values are passed as ``--name=value``.

    Parameters
    ----------
    config
        The trial's configuration.
    config_json
        File with the configuration, for scripts that read it from a file.
    checkpoint_path
        Folder for its checkpoints.
    template
        Template of the arguments; by default all are passed.

    Raises
    ------
    ValueError
        A name or a value cannot be passed to a program, or does not fit the template.
    """
    template = template or ArgumentTemplate()
    for name in set(config).difference(() if config_json is not None else template.left_out(config)):
        _check_value(name, config[name])
    where = {ST_CHECKPOINT_DIR: str(checkpoint_path)}
    file = {} if config_json is None else {ST_CONFIG_JSON_FNAME_ARG: str(config_json)}
    everything = {**(file or config), **where}
    return template.fill({**config, **file, **where}, everything)


def _check_value(name: str, value: Any) -> None:
    """Checks that a value has a text that says what it is: that of a function is where it is in this process."""
    own_str, own_repr = (
        getattr(type(value), method) is not getattr(object, method) for method in ("__str__", "__repr__")
    )
    if isinstance(value, (type, ModuleType)) or not (own_str or (own_repr and not callable(value))):
        raise ValueError(
            "config must hold values that can be given to a program as text, such as numbers and names, but "
            f"{name!r} is {value!r}: name it by text, and look it up in the script"
        )
    try:
        f"{name}{value}".encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"config must hold text that can be encoded, but {name!r} is {value!r} ({error})") from error


def check_arguments(parts: Sequence[str], config: Mapping[str, Any]) -> None:
    """Checks a template before anything is launched.

    Parameters
    ----------
    parts
        See :class:`ArgumentTemplate`.
    config
        Some configuration of the space that is searched.

    Raises
    ------
    TypeError, ValueError
        The template cannot be read, or does not fit the configuration.
    """
    script_arguments(config, None, Path("checkpoints"), ArgumentTemplate(parts))


class ScriptArguments:
    """Makes the arguments of a backend's scripts; warns once about entries that the template leaves out.

    Parameters
    ----------
    parts
        See :class:`ArgumentTemplate`; ``None``: all of them.
    """

    def __init__(self, parts: Sequence[str] | None = None) -> None:
        self._template = ArgumentTemplate() if parts is None else ArgumentTemplate(parts)
        self._told: set[str] = set()

    def of(self, config: Mapping[str, Any], config_json: Path | None, checkpoint_path: Path) -> tuple[str, ...]:
        """See :func:`script_arguments`."""
        arguments = script_arguments(config, config_json, checkpoint_path, self._template)
        names = [*(config if config_json is None else [ST_CONFIG_JSON_FNAME_ARG]), ST_CHECKPOINT_DIR]
        left_out = [name for name in self._template.left_out(names) if name not in self._told]
        if left_out:
            self._told.update(left_out)
            logger.warning(
                "The script does not receive %s: arguments has no placeholder for it, nor %s for all other entries.%s",
                ", ".join(left_out), _EVERYTHING,
                " A trial that is paused or resized then starts from the beginning."
                if ST_CHECKPOINT_DIR in left_out
                else "",
            )  # fmt: skip
        return arguments


def _argument(name: str, value: Any) -> tuple[str, ...]:
    text = str(value)
    if isinstance(value, Real) and text.startswith("-") and "e" in text:
        digits = format(Decimal(text), "f")
        text = digits if "." in digits else f"{digits}.0"
    if len(text) > 1 and text.startswith("-") and not _NEGATIVE_NUMBER.fullmatch(text):
        return (f"--{name}={text}",)
    return f"--{name}", text
