"""Choices that a backend on this machine offers."""

from typing import Literal

Processes = Literal["per_device", "single"]
"""Processes of a trial: one for each of its devices, or one that sees them all."""

LaunchMode = Literal["warm", "cold"]
"""How processes are started: forked from a server that has imported libraries already, or by a new interpreter."""

ResizeMode = Literal["auto", "in_place", "relaunch"]
"""How a running trial gets another number of devices: processes join and leave it where its script can do that
(``in_place``: with a warning where it cannot), or it is launched again from its checkpoint."""
