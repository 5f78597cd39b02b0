"""The live view that a tuning has on a terminal without being asked for."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from syne_tune.tuner_logger import TunerLogger

LIVE_VARIABLE = "SYNE_HYPERSCHED_LIVE"
"""Environment variable that turns the view off if it is ``0``."""

_OFF = ("0", "false", "no", "off")


def is_wanted(is_terminal: bool, setting: str | None, terminal: str | None) -> bool:
    """Whether a tuning shows the view by default.

    Parameters
    ----------
    is_terminal
        Whether the standard output is a terminal.
    setting
        Value of :const:`LIVE_VARIABLE`, None if it is not set.
    terminal
        Kind of the terminal, the variable ``TERM``.
    """
    return is_terminal and (setting or "").strip().lower() not in _OFF and terminal != "dumb"


def show_by_default(tuner: Any) -> None:
    """Adds the view to a tuner that begins, on a terminal, unless it has one or it is turned off.

    A callback that does this calls it when it has begun itself. The tuner's own messages, if they are those of Syne
    Tune, are reduced to what the view does not show.
    """
    if not is_wanted(sys.stdout.isatty(), os.environ.get(LIVE_VARIABLE), os.environ.get("TERM")):
        return
    # By its name, as public names are loaded: what looks at experiments lies above what runs them.
    experiments = importlib.import_module("syne_hypersched.experiments")
    if any(isinstance(callback, experiments.LiveProgress) for callback in tuner.callbacks):
        return
    view = experiments.LiveProgress()
    # A list of its own: the one that was given belongs to the user.
    tuner.callbacks = [*tuner.callbacks, view]
    if type(tuner.output_logger) is TunerLogger:
        tuner.output_logger = experiments.QuietTunerLogger()
    view.on_tuning_start(tuner)
