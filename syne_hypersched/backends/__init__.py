"""Backends: the only code that touches processes, files of trials, or a simulated event queue."""

from syne_hypersched.backends._local import ElasticLocalBackend as ElasticLocalBackend
from syne_hypersched.backends._python import ElasticPythonBackend as ElasticPythonBackend
from syne_hypersched.backends._simulator import ElasticSimulatorBackend as ElasticSimulatorBackend
from syne_hypersched.backends._virtual_costs import Failures as Failures
from syne_hypersched.backends._virtual_costs import LaunchCost as LaunchCost
from syne_hypersched.backends.elastic import ElasticTrial as ElasticTrial

__all__ = [
    "ElasticLocalBackend",
    "ElasticPythonBackend",
    "ElasticSimulatorBackend",
    "ElasticTrial",
    "Failures",
    "LaunchCost",
]
