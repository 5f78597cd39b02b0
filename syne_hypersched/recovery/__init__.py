"""Experiments that survive the death of their tuner: a journal of what the scheduler was told, and its replay."""

from syne_hypersched.recovery._journal import Journal as Journal
from syne_hypersched.recovery._orphans import find_orphans as find_orphans
from syne_hypersched.recovery._resume import resume_experiment as resume_experiment
from syne_hypersched.recovery._spent import SpentTime as SpentTime
from syne_hypersched.recovery._spent import spent_time as spent_time

__all__ = ["Journal", "SpentTime", "find_orphans", "resume_experiment", "spent_time"]
