"""Search with a model over configuration and resource, which uses all reports of all trials."""

from syne_hypersched.schedulers.joint._encoding import has_order as has_order
from syne_hypersched.schedulers.joint._searcher import JointSearcher as JointSearcher

__all__ = ["JointSearcher", "has_order"]
