"""Choices that a backend on this machine offers."""

from typing import Literal

Processes = Literal["per_device", "single"]
"""Processes of a trial: one for each of its devices, or one that sees them all."""

LaunchMode = Literal["warm", "cold"]
"""How processes are started: forked from a server that has imported libraries already, or by a new interpreter."""
