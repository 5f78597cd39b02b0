"""Schedulers for Syne Tune.

What they have in common lies in the modules here, each algorithm in a sub-package.
"""

from __future__ import annotations

from syne_hypersched.schedulers._resize_best import ResizeBest as ResizeBest
from syne_hypersched.schedulers.asha import ASHA as ASHA
from syne_hypersched.schedulers.hypersched import Adaptive as Adaptive
from syne_hypersched.schedulers.hypersched import HyperSched as HyperSched
from syne_hypersched.schedulers.hypersched import PublishedRules as PublishedRules
from syne_hypersched.schedulers.pasha import PASHA as PASHA

__all__ = ["ASHA", "PASHA", "Adaptive", "HyperSched", "PublishedRules", "ResizeBest"]
