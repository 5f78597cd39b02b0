"""Deadline-aware and progressive-resource schedulers for Syne Tune, on trials that change their devices while they run.

Every public name is imported when it is first used. So ``import syne_hypersched`` takes almost no time and imports
neither Syne Tune nor PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syne_hypersched._lazy import lazy_names
from syne_hypersched._version import __version__ as __version__
from syne_hypersched._view import set_default_view

if TYPE_CHECKING:
    from syne_hypersched.backends import ElasticLocalBackend as ElasticLocalBackend
    from syne_hypersched.backends import ElasticPythonBackend as ElasticPythonBackend
    from syne_hypersched.backends import ElasticRayBackend as ElasticRayBackend
    from syne_hypersched.backends import ElasticSimulatorBackend as ElasticSimulatorBackend
    from syne_hypersched.backends import LaunchCost as LaunchCost
    from syne_hypersched.deadline import Deadline as Deadline
    from syne_hypersched.recovery import Journal as Journal
    from syne_hypersched.recovery import resume_experiment as resume_experiment
    from syne_hypersched.schedulers import ASHA as ASHA
    from syne_hypersched.schedulers import PASHA as PASHA
    from syne_hypersched.schedulers import Adaptive as Adaptive
    from syne_hypersched.schedulers import HyperSched as HyperSched
    from syne_hypersched.schedulers import PublishedRules as PublishedRules
    from syne_hypersched.schedulers import ResizeBest as ResizeBest
    from syne_hypersched.simulation import simulate as simulate
    from syne_hypersched.waiting import WaitForReports as WaitForReports

__all__ = [
    "ASHA",
    "PASHA",
    "Adaptive",
    "Deadline",
    "ElasticLocalBackend",
    "ElasticPythonBackend",
    "ElasticRayBackend",
    "ElasticSimulatorBackend",
    "HyperSched",
    "Journal",
    "LaunchCost",
    "PublishedRules",
    "ResizeBest",
    "WaitForReports",
    "resume_experiment",
    "simulate",
    "__version__",
]

_MODULE_OF_NAME = {
    "ASHA": "syne_hypersched.schedulers",
    "Adaptive": "syne_hypersched.schedulers",
    "Deadline": "syne_hypersched.deadline",
    "ElasticLocalBackend": "syne_hypersched.backends",
    "ElasticPythonBackend": "syne_hypersched.backends",
    "ElasticRayBackend": "syne_hypersched.backends",
    "ElasticSimulatorBackend": "syne_hypersched.backends",
    "HyperSched": "syne_hypersched.schedulers",
    "Journal": "syne_hypersched.recovery",
    "LaunchCost": "syne_hypersched.backends",
    "PASHA": "syne_hypersched.schedulers",
    "PublishedRules": "syne_hypersched.schedulers",
    "ResizeBest": "syne_hypersched.schedulers",
    "WaitForReports": "syne_hypersched.waiting",
    "resume_experiment": "syne_hypersched.recovery",
    "simulate": "syne_hypersched.simulation",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULE_OF_NAME)


def _add_live_view(tuner: Any) -> None:
    from syne_hypersched.experiments import add_live_view

    add_live_view(tuner)


set_default_view(_add_live_view)
