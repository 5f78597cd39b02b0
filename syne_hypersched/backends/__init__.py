"""Backends: the only code that touches processes, files of trials, or a simulated event queue."""

from syne_hypersched.backends._local import ElasticLocalBackend as ElasticLocalBackend
from syne_hypersched.backends.elastic import ElasticTrial as ElasticTrial

__all__ = ["ElasticLocalBackend", "ElasticTrial"]
