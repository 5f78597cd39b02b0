"""Saves as a watcher sees them."""

from __future__ import annotations


def add(bursts, *paths):
    """Adds paths, and reports where there is a ``|``; returns which of them begin a checkpoint."""
    begins = []
    for path in paths:
        if path == "|":
            bursts.report()
        else:
            begins.append(bursts.add(path))
    return begins
