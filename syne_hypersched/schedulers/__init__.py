"""Schedulers for Syne Tune: one algorithm in each private module."""

from __future__ import annotations

from syne_hypersched.schedulers._asha import ASHA as ASHA
from syne_hypersched.schedulers._hypersched import HyperSched as HyperSched
from syne_hypersched.schedulers._pasha import PASHA as PASHA

__all__ = ["ASHA", "PASHA", "HyperSched"]
