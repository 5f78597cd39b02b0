"""A tuning described in text, as on the command line of ``hypersched tune``: runs it, or writes it as a script."""

from __future__ import annotations

from syne_hypersched.tuning._demo import demo_job as demo_job
from syne_hypersched.tuning._demo import demo_script as demo_script
from syne_hypersched.tuning._end import run_and_report as run_and_report
from syne_hypersched.tuning._end import run_to_report as run_to_report
from syne_hypersched.tuning._job import TuneJob as TuneJob
from syne_hypersched.tuning._job import parse_cluster_devices as parse_cluster_devices
from syne_hypersched.tuning._job import parse_devices as parse_devices
from syne_hypersched.tuning._job import parse_duration as parse_duration
from syne_hypersched.tuning._job import parse_resource as parse_resource
from syne_hypersched.tuning._run import make_tuner as make_tuner
from syne_hypersched.tuning._run import run_job as run_job
from syne_hypersched.tuning._run import with_recorded_seed as with_recorded_seed
from syne_hypersched.tuning._script import script_of as script_of
from syne_hypersched.tuning._space import SpaceEntry as SpaceEntry
from syne_hypersched.tuning._space import parse_space as parse_space

__all__ = [
    "SpaceEntry",
    "TuneJob",
    "demo_job",
    "demo_script",
    "make_tuner",
    "parse_cluster_devices",
    "parse_devices",
    "parse_duration",
    "parse_resource",
    "parse_space",
    "run_and_report",
    "run_job",
    "run_to_report",
    "script_of",
    "with_recorded_seed",
]
