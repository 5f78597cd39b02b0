"""Backends: the only code that touches processes, files of trials, or a simulated event queue.

=============  =========================================================================================
``shared/``    what every elastic backend is made of: devices, reconciliation, events, reports, the trial
``machine/``   the devices of this machine: discovery, locks, and the environment of a process
``local/``     trials as processes on this machine
``ray/``       trials as processes on the nodes of a Ray cluster
``function/``  the same for a Python function instead of a script
``virtual/``   trials in virtual time
=============  =========================================================================================

``local`` uses ``machine`` and ``shared``, ``function`` and ``ray`` use ``local``, ``virtual`` uses ``shared``. A new
backend is a new room beside these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syne_hypersched._lazy import lazy_names

if TYPE_CHECKING:
    from syne_hypersched.backends.function import ElasticPythonBackend as ElasticPythonBackend
    from syne_hypersched.backends.local import ElasticLocalBackend as ElasticLocalBackend
    from syne_hypersched.backends.ray import ElasticRayBackend as ElasticRayBackend
    from syne_hypersched.backends.shared.elastic import ElasticTrial as ElasticTrial
    from syne_hypersched.backends.virtual import ElasticSimulatorBackend as ElasticSimulatorBackend
    from syne_hypersched.backends.virtual import Failures as Failures
    from syne_hypersched.backends.virtual import LaunchCost as LaunchCost

__all__ = [
    "ElasticLocalBackend",
    "ElasticPythonBackend",
    "ElasticRayBackend",
    "ElasticSimulatorBackend",
    "ElasticTrial",
    "Failures",
    "LaunchCost",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ElasticLocalBackend": "syne_hypersched.backends.local",
        "ElasticPythonBackend": "syne_hypersched.backends.function",
        "ElasticRayBackend": "syne_hypersched.backends.ray",
        "ElasticSimulatorBackend": "syne_hypersched.backends.virtual",
        "ElasticTrial": "syne_hypersched.backends.shared.elastic",
        "Failures": "syne_hypersched.backends.virtual",
        "LaunchCost": "syne_hypersched.backends.virtual",
    },
)
