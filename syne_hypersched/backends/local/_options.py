"""Choices that a backend on this machine offers."""

import warnings
from typing import Literal

from syne_hypersched.stability import ExperimentalWarning

Processes = Literal["per_device", "single"]
"""Processes of a trial: one for each of its devices, or one that sees them all."""

LaunchMode = Literal["warm", "cold"]
"""How processes are started: forked from a server that has imported libraries already, or by a new interpreter."""

ResizeMode = Literal["auto", "in_place", "relaunch"]
"""How a running trial gets another number of devices: processes join and leave it where its script can do that
(``in_place``: with a warning where it cannot), or it is launched again from its checkpoint."""


def noted(mode: ResizeMode) -> ResizeMode:
    """The mode, with a warning that all but the oldest are experimental."""
    if mode != "relaunch":
        warnings.warn(
            f"resize={mode!r} is experimental: processes that join and leave a trial while it trains are new, and the "
            "argument may change in any version",
            ExperimentalWarning,
            stacklevel=4,
        )
    return mode
