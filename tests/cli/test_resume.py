"""An experiment whose tuner was killed is resumed by the command."""

from __future__ import annotations

import subprocess
import sys

from tests.recovery.conftest import Experiments


def test_a_killed_experiment_is_resumed_by_its_name(tmp_path, wait_for, monkeypatch, no_process_left):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    experiments = Experiments(tmp_path, wait_for)
    process = experiments.start("points", "killed")
    experiments.kill_after(process, "killed", 10)
    ended = subprocess.run(
        [sys.executable, "-m", "syne_hypersched.cli", "resume", "killed", "--time-passes", "running"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "The experiment is done." in ended.stdout
    assert f"Results: hypersched report {experiments.path('killed')}" in ended.stdout
    assert experiments.results("killed").epoch.max() == 9
