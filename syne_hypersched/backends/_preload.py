"""What the preloading server imports: the heavy libraries that the training script imports anyway."""

from __future__ import annotations

import ast
from pathlib import Path

#: Libraries that are slow to import, start no thread that a fork would miss and open no GPU when they are imported.
PRELOADABLE = frozenset({"numpy", "pandas", "scipy", "sklearn", "syne_tune", "torch", "torchvision"})

#: ``torch`` imports its compiler when the first optimiser is made, which takes a second more.
_TORCH_LATER = "torch._dynamo"


def modules_to_preload(entry_point: Path) -> tuple[str, ...]:
    """The modules of :data:`PRELOADABLE` that a script imports, with their submodules as it names them.

    The script is parsed, not run. Returns an empty tuple if it cannot be parsed; running it will say why.
    """
    try:
        tree = ast.parse(entry_point.read_bytes(), filename=str(entry_point))
    except (OSError, SyntaxError, ValueError):
        return ()
    names: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= dict.fromkeys(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names[node.module] = None
    modules = [name for name in names if name.partition(".")[0] in PRELOADABLE]
    if any(name.partition(".")[0] == "torch" for name in modules):
        modules.append(_TORCH_LATER)
    return tuple(modules)
