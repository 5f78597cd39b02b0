"""PASHA, promotion ASHA with a progressive maximum resource: bracket, ranking criteria, automatic epsilon."""

from __future__ import annotations

from syne_hypersched.schedulers.pasha._pasha import PASHA as PASHA
from syne_hypersched.schedulers.pasha._pasha import ST_PASHA_EPSILON as ST_PASHA_EPSILON
from syne_hypersched.schedulers.pasha._pasha import ST_PASHA_MAX_T as ST_PASHA_MAX_T

__all__ = ["PASHA", "ST_PASHA_EPSILON", "ST_PASHA_MAX_T"]
