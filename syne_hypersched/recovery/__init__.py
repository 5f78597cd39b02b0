"""Experiments that survive the death of their tuner: a journal of what the scheduler was told, and its replay."""

from syne_hypersched.recovery._journal import Journal as Journal
from syne_hypersched.recovery._orphans import find_orphans as find_orphans
from syne_hypersched.recovery._resume import resume_experiment as resume_experiment

__all__ = ["Journal", "find_orphans", "resume_experiment"]
