"""What the preloading server imports: the heavy libraries that the training script imports anyway."""

from __future__ import annotations

import ast
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from syne_hypersched.launch import PRELOADABLE, is_read_when_loaded

logger = logging.getLogger(__name__)

#: What libraries import only when they are used, which takes a second more: PyTorch its compiler with the first
#: optimiser, and elastic runs the reporter when they report.
_LATER = {"torch": "torch._dynamo", "syne_hypersched.training": "syne_tune.report"}
#: Local modules that are read at most.
_MOST_FILES = 200


@dataclass(frozen=True)
class PreloadPlan:
    """What a server preloads for a script."""

    modules: tuple[str, ...] = ()
    """Modules that it imports before the first launch."""
    named: frozenset[str] | None = None
    """Variables that the script names, if more modules are to be learnt from its launches; None: nothing is learnt."""


def modules_to_preload(entry_point: Path, wanted: Sequence[str] | None = None) -> tuple[str, ...]:
    """The heavy libraries that a script imports; see :func:`plan_preloading`."""
    return plan_preloading(entry_point, wanted).modules


def plan_preloading(entry_point: Path, wanted: Sequence[str] | None = None) -> PreloadPlan:
    """Which libraries a script imports, by itself or through modules beside it.

    The script and its modules are parsed, not run. Nothing is preloaded and nothing is learnt if the script cannot be
    parsed (running it will say why), or if one of them names a variable that the libraries read when they are loaded.

    Parameters
    ----------
    entry_point
        The script.
    wanted
        Modules that the user has named. These are preloaded and nothing is learnt; what they import only when they are
        used is preloaded with them, unless the script names such a variable.
    """
    names: dict[str, None] = {}
    constants: set[str] = set()
    try:
        for found in _imports(entry_point):
            names |= dict.fromkeys(found.names)
            constants |= found.constants
    except (OSError, SyntaxError, ValueError, RecursionError):
        return PreloadPlan(tuple(wanted or ()))
    variables = set(filter(is_read_when_loaded, constants))
    if wanted is not None:
        return PreloadPlan(tuple(dict.fromkeys([*wanted, *(() if variables else _later(wanted))])))
    modules = heavy_modules(names)
    if variables:
        if modules:
            logger.warning(
                "%s names %s, which libraries read when they are loaded: none is preloaded, and launches take longer. "
                "Name libraries that need not see it with preload=[...].", entry_point.name,
                ", ".join(sorted(variables)),
            )  # fmt: skip
        return PreloadPlan()
    return PreloadPlan(modules, frozenset(constant for constant in constants if constant.isupper()))


def local_modules(entry_point: Path) -> tuple[Path, ...]:
    """The files beside a script, and below, that it imports, by itself or through others of them.

    They are found by parsing; none if the script cannot be parsed.
    """
    try:
        return tuple(found.path for found in _imports(entry_point))[1:]
    except (OSError, SyntaxError, ValueError, RecursionError):
        return ()


@dataclass(frozen=True)
class _Imports:
    path: Path
    """The file."""
    names: tuple[str, ...]
    """Modules that a file imports, with their whole names."""
    constants: frozenset[str]
    """Texts in it that may be names of variables."""


def _imports(entry_point: Path) -> Iterator[_Imports]:
    """The imports of a script, and those of the modules beside it that it imports."""
    root = entry_point.resolve().parent
    ahead: list[tuple[Path, tuple[str, ...]]] = [(entry_point, ())]
    seen: set[Path] = set()
    while ahead and len(seen) < _MOST_FILES:
        path, package = ahead.pop(0)
        if path in seen:
            continue
        seen.add(path)
        try:
            found = _read(path, package)
        except (OSError, SyntaxError, ValueError, RecursionError):
            if path == entry_point:
                raise
            continue
        yield found
        for name in found.names:
            ahead += _local(name, root)


def _read(path: Path, package: tuple[str, ...]) -> _Imports:
    names: dict[str, None] = {}
    constants: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes(), filename=str(path))):
        if isinstance(node, ast.Import):
            names |= dict.fromkeys(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            if not node.level or above:
                whole = ".".join((*above, *filter(None, [node.module])))
                names[whole] = None
                names |= {f"{whole}.{alias.name}": None for alias in node.names if node.level}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            constants.add(node.value)
    return _Imports(path, tuple(names), frozenset(constants))


def _local(name: str, root: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """The files beside the script that an import runs, each with the package in which it is."""
    parts = name.split(".")
    for number in range(1, len(parts) + 1):
        path = root.joinpath(*parts[:number])
        init = path / "__init__.py"
        if init.is_file():
            yield init, tuple(parts[:number])
        elif os.path.isfile(f"{path}.py"):
            yield Path(f"{path}.py"), tuple(parts[: number - 1])
            return
        elif not path.is_dir():
            return


def heavy_modules(names: Iterable[str]) -> tuple[str, ...]:
    """Those of some modules that are worth importing before a fork, and what they import later."""
    modules = [name for name in names if name.partition(".")[0] in PRELOADABLE]
    return (*modules, *_later(modules))


def _later(modules: Iterable[str]) -> Iterator[str]:
    """What modules import only when they are used."""
    names = [f"{name}." for name in modules]
    return (later for library, later in _LATER.items() if any(name.startswith(f"{library}.") for name in names))
