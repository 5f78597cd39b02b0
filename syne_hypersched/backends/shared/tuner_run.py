"""Finds the tuner that calls a backend."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from syne_tune import Tuner


def run_of_tuner() -> FrameType | None:
    """The innermost call of ``Tuner.run`` in this thread."""
    run: FrameType | None = sys._getframe(1)
    while run is not None and run.f_code is not Tuner.run.__code__:
        run = run.f_back
    return run


def running_tuner() -> Any:
    """The tuner that runs in this thread; None if none does."""
    run = run_of_tuner()
    return None if run is None else run.f_locals["self"]
