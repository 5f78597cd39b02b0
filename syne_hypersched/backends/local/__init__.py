"""Trials as processes on this machine, whose number of devices can change while they run."""

from syne_hypersched.backends.local._backend import ElasticLocalBackend as ElasticLocalBackend
from syne_hypersched.backends.local._command import check_arguments as check_arguments
from syne_hypersched.backends.local._command import program as program
from syne_hypersched.backends.local._options import LaunchMode as LaunchMode
from syne_hypersched.backends.local._options import Processes as Processes
from syne_hypersched.backends.local._options import ResizeMode as ResizeMode
from syne_hypersched.backends.local._preload import heavy_modules as heavy_modules
from syne_hypersched.backends.local._preload import local_modules as local_modules
from syne_hypersched.backends.local._preload import modules_to_preload as modules_to_preload
from syne_hypersched.backends.local._preload import plan_preloading as plan_preloading
from syne_hypersched.backends.local._restore import RestoredTrial as RestoredTrial

__all__ = [
    "ElasticLocalBackend",
    "LaunchMode",
    "Processes",
    "ResizeMode",
    "RestoredTrial",
    "check_arguments",
    "heavy_modules",
    "local_modules",
    "modules_to_preload",
    "program",
]
