"""Schedulers for Syne Tune: one algorithm in each private module."""

from __future__ import annotations
