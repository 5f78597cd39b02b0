"""HyperSched: a deadline-aware scheduler with two strategies, one in each private module."""

from __future__ import annotations

from syne_hypersched.schedulers.hypersched._hypersched import HyperSched as HyperSched
from syne_hypersched.schedulers.hypersched._options import Adaptive as Adaptive
from syne_hypersched.schedulers.hypersched._options import PublishedRules as PublishedRules

__all__ = ["Adaptive", "HyperSched", "PublishedRules"]
