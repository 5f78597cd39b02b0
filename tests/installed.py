"""Libraries that some tests need, which are not imported while tests are collected.

Each of the processes that run the tests collects all of them but runs only some: ``pytest.importorskip`` would import
Ray, transformers and others in each.
"""

from __future__ import annotations

import importlib.util

import pytest


def skip_without(*modules: str, reason: str = "") -> None:
    """Skips the test file that calls it if a module is not installed."""
    for name in modules:
        if importlib.util.find_spec(name) is None:
            pytest.skip(reason or f"{name} is not installed", allow_module_level=True)


def needs(*modules: str) -> pytest.MarkDecorator:
    """A mark that skips tests if a module is not installed, for a test file from which others import."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not installed")
