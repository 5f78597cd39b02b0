"""Runs a scheduler in virtual time, without a tuner. It is fast enough for studies with many runs."""

from syne_hypersched.simulation._results import Simulation as Simulation
from syne_hypersched.simulation._simulate import simulate as simulate

__all__ = ["Simulation", "simulate"]
