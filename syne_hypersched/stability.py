"""Marks parts of the public interface that may still change, and parts that will be removed.

An *experimental* part works and is tested, but its names and arguments may change in any version. A *deprecated* part
works for one more version. Its warning names the replacement and the version in which it is removed.
"""

from __future__ import annotations

import functools
import inspect
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=Callable[..., Any])

_said: set[str] = set()
"""Experimental parts for which this process has already warned."""


class ExperimentalWarning(Warning):
    """Warning that a part of the interface is used that may still change."""


def experimental(since: str) -> Callable[[C], C]:
    """Decorator of a class or function whose interface may still change.

    Its docstring tells this, and its first use in a process raises an :class:`ExperimentalWarning`.

    Example::

        @experimental(since="0.2.0")
        class NewScheduler: ...

    Parameters
    ----------
    since
        The version that introduced it.
    """

    def decorate(target: C) -> C:
        name = target.__qualname__
        message = f"{name} is experimental since version {since}: its arguments may change in any version"

        def warn() -> None:
            if name not in _said:
                _said.add(name)
                warnings.warn(message, ExperimentalWarning, stacklevel=3)

        return _warning(target, warn, f".. warning:: Experimental since version {since}; arguments may still change.")

    return decorate


def deprecated(since: str, removed: str, instead: str) -> Callable[[C], C]:
    """Decorator of a class or function that will be removed.

    Its docstring tells this, and every use raises a ``DeprecationWarning``.

    Example::

        @deprecated(since="0.2.0", removed="0.3.0", instead="new_name()")
        def old_name(): ...

    Parameters
    ----------
    since
        The version in which it was deprecated.
    removed
        The version in which it is removed.
    instead
        The replacement.
    """

    def decorate(target: C) -> C:
        message = deprecation(target.__qualname__, since, removed, instead)

        def warn() -> None:
            warnings.warn(message, DeprecationWarning, stacklevel=3)

        paragraph = f".. deprecated:: {since} It will be removed in version {removed}. Use {instead} instead."
        return _warning(target, warn, paragraph)

    return decorate


def deprecation(what: str, since: str, removed: str, instead: str) -> str:
    """The text of a ``DeprecationWarning``."""
    return f"{what} is deprecated since version {since} and will be removed in version {removed}: use {instead} instead"


def former_arguments(
    since: str,
    removed: str,
    *,
    positional: Sequence[str] = (),
    moved: Mapping[str, str] | None = None,
    translate: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator of a constructor that still accepts the previous version's arguments, with a ``DeprecationWarning``.

    ``help`` and type checkers see the signature of the present version.

    Example::

        class Scheduler:
            @former_arguments("0.2.0", "0.3.0", positional=("seed",))
            def __init__(self, space, *, seed=0): ...

    Parameters
    ----------
    since
        The version in which the old form was deprecated.
    removed
        The version in which the old form is removed.
    positional
        Arguments that were positional and are now keyword-only, in their former order.
    moved
        Arguments that no longer exist, each with its replacement.
    translate
        Converts keyword arguments, including moved ones, to those of the present version. It is called only if a moved
        argument is given.
    """
    former, moved = tuple(positional), dict(moved or {})

    def decorate(init: Callable[P, R]) -> Callable[P, R]:
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        num_positional = sum(p.kind in kinds for p in inspect.signature(init).parameters.values())
        name = init.__qualname__.removesuffix(".__init__")

        @functools.wraps(init)
        def wrapper(*args: Any, **kwargs: Any) -> R:
            late = args[num_positional:]
            given = [each for each in kwargs if each in moved]
            if late:
                if len(late) > len(former):
                    most = num_positional + len(former) - 1
                    raise TypeError(f"{name} takes at most {most} positional arguments, but got {len(args) - 1}")
                names = former[: len(late)]
                if twice := set(names) & set(kwargs):
                    raise TypeError(f"{name} got more than one value for {', '.join(sorted(twice))}")
                spelt = _spelt([moved.get(each, f"{each}=...") for each in names])
                old = f"{name}() with more than {num_positional - 1} positional arguments"
                warnings.warn(deprecation(old, since, removed, spelt), DeprecationWarning, stacklevel=2)
                args, kwargs = args[:num_positional], {**kwargs, **dict(zip(names, late, strict=True))}
            for each in given:
                old = f"{each}= of {name}"
                warnings.warn(deprecation(old, since, removed, moved[each]), DeprecationWarning, stacklevel=2)
            if translate is not None and not moved.keys().isdisjoint(kwargs):
                kwargs = translate(kwargs)
            return init(*args, **kwargs)

        return cast("Callable[P, R]", wrapper)

    return decorate


def _spelt(arguments: Sequence[str]) -> str:
    """Arguments as in one call. The options of one object are combined.

    ``rule=..., rule=Rule(a=...), rule=Rule(b=...)`` becomes ``rule=Rule(a=..., b=...)``.
    """
    options: dict[str, list[str]] = {}
    for argument in arguments:
        maker, _, inside = argument.partition("(")
        if inside:
            options.setdefault(maker, []).append(inside.removesuffix(")"))
    made = {maker.partition("=")[0] for maker in options if "=" in maker}
    whole: dict[str, None] = {}
    for argument in arguments:
        maker, _, inside = argument.partition("(")
        if inside:
            whole[f"{maker}({', '.join(options[maker])})"] = None
        elif argument.partition("=")[0] not in made:
            whole[argument] = None
    return ", ".join(whole)


def _warning(target: C, warn: Callable[[], None], paragraph: str) -> C:
    """Adds a paragraph to the docstring of a class or function, and makes it warn when it is used."""
    target.__doc__ = _with_paragraph(target.__doc__, paragraph)
    if not inspect.isclass(target):

        @functools.wraps(target)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            warn()
            return target(*args, **kwargs)

        return cast("C", wrapper)
    init: Any = target.__init__

    @functools.wraps(init)
    def checked_init(self: Any, *args: Any, **kwargs: Any) -> None:
        warn()
        init(self, *args, **kwargs)

    # The class object itself is kept, since pickles, subclasses and isinstance() refer to it.
    vars_of: Any = target
    vars_of.__init__ = checked_init
    return target


def _with_paragraph(docstring: str | None, paragraph: str) -> str:
    """The docstring with a new paragraph after the first one."""
    first, _, rest = inspect.cleandoc(docstring or "").partition("\n\n")
    return "\n\n".join(part for part in (first, textwrap.fill(paragraph, 110), rest) if part)
