"""The command ``hypersched``: tunes, shows and continues experiments, and compares schedulers.

A command imports its libraries only when it is called. So ``hypersched --help`` imports neither Syne Tune nor NumPy. To
add a command, write a function in a new module of this package, and register it in ``_app.py``.
"""

from __future__ import annotations

from syne_hypersched.cli._app import main as main
from syne_hypersched.cli._app import run as run

__all__ = ["main", "run"]
