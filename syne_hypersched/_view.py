"""The live view that a tuning shows on a terminal by default.

This module only decides whether the view is shown. The view itself is in ``experiments``, a higher layer. The root of
the package knows both, and sets the view here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

LIVE_VARIABLE = "SYNE_HYPERSCHED_LIVE"
"""Environment variable that turns the view off if its value is ``0``."""

_OFF = ("0", "false", "no", "off")

AddView = Callable[[Any], None]
"""Adds the view to a tuner that begins."""


class _Default:
    add: AddView | None = None


def set_default_view(add: AddView) -> None:
    """Sets the view that a tuning shows by default."""
    _Default.add = add


def is_wanted(is_terminal: bool, setting: str | None, terminal: str | None) -> bool:
    """Whether a tuning shows the view by default.

    Parameters
    ----------
    is_terminal
        Whether the standard output is a terminal.
    setting
        Value of :const:`LIVE_VARIABLE`; None if it is not set.
    terminal
        Kind of the terminal (the variable ``TERM``).
    """
    return is_terminal and (setting or "").strip().lower() not in _OFF and terminal != "dumb"


def show_by_default(tuner: Any) -> None:
    """Adds the view to a tuner that begins on a terminal, unless the view is turned off.

    A callback with this task calls it after its own beginning.
    """
    from syne_hypersched._terminal_text import is_terminal

    if _Default.add is not None and is_wanted(
        is_terminal(sys.stdout), os.environ.get(LIVE_VARIABLE), os.environ.get("TERM")
    ):
        _Default.add(tuner)
