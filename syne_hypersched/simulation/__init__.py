"""Runs a scheduler in virtual time, without a tuner: fast enough for studies of many runs."""

from syne_hypersched.simulation._results import Simulation as Simulation
from syne_hypersched.simulation._simulate import simulate as simulate

__all__ = ["Simulation", "simulate"]
