"""HyperSched: a deadline-aware scheduler with two strategies, one in each private module."""

from __future__ import annotations

from syne_hypersched.schedulers.hypersched._hypersched import HyperSched as HyperSched

__all__ = ["HyperSched"]
