"""Trials on the nodes of a Ray cluster, whose number of devices can change while they run.

``_backend.py`` is the backend. ``_launcher.py`` starts trials for its fleet. ``_gateway.py`` is the process beside the
tuner that talks to Ray. ``_agent.py`` runs on each node. Only the gateway imports Ray.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syne_hypersched._lazy import lazy_names

if TYPE_CHECKING:
    from syne_hypersched.backends.ray._backend import ElasticRayBackend as ElasticRayBackend

__all__ = ["ElasticRayBackend"]

__getattr__, __dir__ = lazy_names(__name__, {"ElasticRayBackend": "syne_hypersched.backends.ray._backend"})
