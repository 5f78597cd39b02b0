"""Trials that call a Python function, instead of running a script."""

from syne_hypersched.backends.function._backend import ElasticPythonBackend as ElasticPythonBackend

__all__ = ["ElasticPythonBackend"]
