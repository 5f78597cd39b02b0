"""What the preloading server imports: the heavy libraries that the training script imports anyway."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterable
from pathlib import Path

from syne_hypersched.launch import is_read_when_loaded

logger = logging.getLogger(__name__)

#: Libraries that are slow to import, start no thread that a fork would miss and open no GPU when they are imported.
_PRELOADABLE = frozenset(
    {"numpy", "pandas", "scipy", "sklearn", "syne_hypersched", "syne_tune", "torch", "torchvision"}
)

#: What libraries import only when they are used, which takes a second more: PyTorch its compiler with the first
#: optimiser, and elastic runs the reporter when they report.
_LATER = {"torch": "torch._dynamo", "syne_hypersched.training": "syne_tune.report"}


def modules_to_preload(entry_point: Path) -> tuple[str, ...]:
    """The heavy libraries that a script imports; see :func:`heavy_modules`.

    The script is parsed, not run. Returns an empty tuple if it cannot be parsed (running it will say why), or if it
    names a variable that the libraries read when they are loaded.
    """
    try:
        tree = ast.parse(entry_point.read_bytes(), filename=str(entry_point))
    except (OSError, SyntaxError, ValueError):
        return ()
    names: dict[str, None] = {}
    variables: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= dict.fromkeys(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names[node.module] = None
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            variables.add(node.value)
    variables = set(filter(is_read_when_loaded, variables))
    modules = heavy_modules(names)
    if modules and variables:
        logger.warning(
            "%s names %s, which libraries read when they are loaded: none is preloaded, and launches take longer. Name "
            "libraries that need not see it with preload=[...].", entry_point.name, ", ".join(sorted(variables)),
        )  # fmt: skip
        return ()
    return modules


def heavy_modules(names: Iterable[str]) -> tuple[str, ...]:
    """Those of some modules that are worth importing before a fork, and what they import later."""
    modules = [name for name in names if name.partition(".")[0] in _PRELOADABLE]
    later = [
        module for library, module in _LATER.items() if any(f"{name}.".startswith(f"{library}.") for name in modules)
    ]
    return (*modules, *later)
