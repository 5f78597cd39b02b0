"""The command ``hypersched``: tunes, looks at experiments, continues them, and compares schedulers.

A command imports its libraries when it is called, so that ``hypersched --help`` imports neither Syne Tune nor NumPy. To
add a command, write a function in a new module of this package, and register it in ``_app.py``.
"""

from __future__ import annotations

from syne_hypersched.cli._app import main as main
from syne_hypersched.cli._app import run as run

__all__ = ["main", "run"]
