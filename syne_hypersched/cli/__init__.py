"""The command ``hypersched``: ``report``, ``verify``, ``resume`` and ``compare``.

A command imports what it needs when it is called, so that ``hypersched --help`` imports neither Syne Tune nor NumPy. To
add one, write a function in a module of its own here, and register it in ``_app.py``.
"""

from __future__ import annotations

from syne_hypersched.cli._app import main as main
from syne_hypersched.cli._app import run as run

__all__ = ["main", "run"]
