"""Searches again on the learning curves of a run, in virtual time, with the same or other settings."""

from __future__ import annotations

from syne_hypersched.replay._curves import KnownCurve as KnownCurve
from syne_hypersched.replay._curves import RunCurves as RunCurves
from syne_hypersched.replay._curves import run_curves as run_curves
from syne_hypersched.replay._outcome import Outcome as Outcome
from syne_hypersched.replay._outcome import replay_scenarios as replay_scenarios
from syne_hypersched.replay._scenarios import ReplayScenario as ReplayScenario
from syne_hypersched.replay._scenarios import brief_scenarios as brief_scenarios
from syne_hypersched.replay._scenarios import default_scenarios as default_scenarios
from syne_hypersched.replay._words import describe_briefly as describe_briefly
from syne_hypersched.replay._words import describe_replay as describe_replay

__all__ = [
    "KnownCurve",
    "Outcome",
    "ReplayScenario",
    "RunCurves",
    "brief_scenarios",
    "default_scenarios",
    "describe_briefly",
    "describe_replay",
    "replay_scenarios",
    "run_curves",
]
