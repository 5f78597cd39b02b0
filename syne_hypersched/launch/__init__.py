"""Starts, signals and reaps the processes of trials, warm or cold, one or many, and leaves none behind."""

from typing import TYPE_CHECKING

from syne_hypersched._lazy import lazy_names
from syne_hypersched.launch._identity import here as here
from syne_hypersched.launch._identity import identify as identify
from syne_hypersched.launch._identity import is_here as is_here
from syne_hypersched.launch._identity import is_same as is_same
from syne_hypersched.launch._linux import die_with_parent as die_with_parent
from syne_hypersched.launch._spec import LaunchExit as LaunchExit
from syne_hypersched.launch._spec import LaunchSpec as LaunchSpec
from syne_hypersched.launch._spec import RankSpec as RankSpec
from syne_hypersched.launch._spec import working_directory as working_directory
from syne_hypersched.launch._warmth import PRELOADABLE as PRELOADABLE
from syne_hypersched.launch._warmth import is_read_when_loaded as is_read_when_loaded

if TYPE_CHECKING:
    from syne_hypersched.launch._launcher import Launcher as Launcher

__all__ = [
    "PRELOADABLE",
    "LaunchExit",
    "LaunchSpec",
    "Launcher",
    "RankSpec",
    "die_with_parent",
    "here",
    "identify",
    "is_here",
    "is_read_when_loaded",
    "is_same",
    "working_directory",
]

# The preloading server does not need it.
__getattr__, __dir__ = lazy_names(__name__, {"Launcher": "syne_hypersched.launch._launcher"})
