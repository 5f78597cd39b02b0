"""How a trial's processes are started, signalled and reaped: warm or cold, one or many, never left behind."""

from syne_hypersched.launch._launcher import Launcher as Launcher
from syne_hypersched.launch._spec import LaunchExit as LaunchExit
from syne_hypersched.launch._spec import LaunchSpec as LaunchSpec
from syne_hypersched.launch._spec import RankSpec as RankSpec
from syne_hypersched.launch._warmth import is_read_when_loaded as is_read_when_loaded

__all__ = ["LaunchExit", "LaunchSpec", "Launcher", "RankSpec", "is_read_when_loaded"]
