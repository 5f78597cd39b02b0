"""The processes of a launch as values."""

from __future__ import annotations

import os

from syne_hypersched.backends.local._launch_spec import launch_spec
from syne_hypersched.backends.local._processes import TrialProcesses


def test_each_rank_has_its_environment_its_cores_and_its_logs(tmp_path):
    trial = TrialProcesses(3, tmp_path / "std.out", tmp_path / "std.err")
    trial.argv = ("train.py", "--x", "1")
    spec = launch_spec(trial, [({"RANK": "0"}, (4, 5)), ({"RANK": "1"}, ())], warm=True, grace_s=2.5)
    assert (spec.argv, spec.warm, spec.grace_s, spec.cwd) == (("train.py", "--x", "1"), True, 2.5, os.getcwd())
    first, second = spec.ranks
    assert (first.env, first.cores) == ({"RANK": "0"}, (4, 5))
    assert (second.env, second.cores) == ({"RANK": "1"}, ())
    assert [first.stdout, first.stderr] == [str(tmp_path / "std.out"), str(tmp_path / "std.err")]
    assert [second.stdout, second.stderr] == [str(tmp_path / "std.rank1.out"), str(tmp_path / "std.rank1.err")]
