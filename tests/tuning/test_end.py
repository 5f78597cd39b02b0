"""A tuner is run to its end as the command does it, also by the script that the command writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from syne_hypersched.experiments import Report, Run, load_run
from syne_hypersched.tuning import TuneJob, _end, parse_space, script_of
from syne_hypersched.tuning._end import ignored_configurations, replay_briefly
from tests.experiments.conftest import SimulatedRun

SCRIPT = Path(__file__).with_name("training_script.py")


@pytest.fixture
def job() -> TuneJob:
    return TuneJob(
        script=SCRIPT, space=parse_space(["lr=log(1e-3,1)", "width=8"]), metric="val_loss", do_minimize=True,
        time_attr="epoch", max_t=27, deadline_s=60.0, device_type="cpu", num_devices=2, max_failures=0, name="written",
    )  # fmt: skip


def run_script(job: TuneJob, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs the script that is written for a tuning, elsewhere than where it is."""
    path = folder / "launch.py"
    path.write_text(script_of(job, path))
    (folder / "elsewhere").mkdir()
    environment = os.environ | {"SYNETUNE_FOLDER": str(folder / "experiments"), "SYNE_HYPERSCHED_LIVE": "0"}
    return subprocess.run(
        [sys.executable, path], cwd=folder / "elsewhere", env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_written_script_ends_early_if_the_metric_has_another_name(job: TuneJob, tmp_path: Path) -> None:
    done = run_script(replace(job, metric="loss"), tmp_path)
    assert done.returncode == 1
    assert "hypersched: the script reports epoch, val_loss; the metric is loss" in done.stderr
    assert "no trial has reported a finite 'loss' at a level 'epoch'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_written_script_ends_early_if_too_many_trials_fail(job: TuneJob, tmp_path: Path) -> None:
    done = run_script(replace(job, space=parse_space(["lr=log(1e-3,1)", "width=8", "fail=yes"])), tmp_path)
    assert done.returncode == 1
    assert "hypersched: the tuning ended early: " in done.stderr
    assert "more: hypersched explain written, hypersched replay written" in done.stdout


@pytest.mark.slow
def test_a_written_script_ends_with_the_report(job: TuneJob, tmp_path: Path) -> None:
    done = run_script(replace(job, deadline_s=4.0), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "best val_loss" in done.stdout
    assert "more: hypersched explain written" in done.stdout


def test_a_replay_is_one_line_unless_there_are_too_many_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SimulatedRun(tmp_path, num_devices=2, deadline_s=20.0, seed=0).run()
    (line,) = replay_briefly(load_run(tmp_path))
    assert line.startswith("replay: ")
    monkeypatch.setattr(_end, "MOST_REPLAYED", 3)
    assert replay_briefly(load_run(tmp_path)) == []


def test_a_run_that_cannot_be_searched_again_has_no_replay(tmp_path: Path) -> None:
    metadata = {"metric_names": ["loss"], "metric_mode": "min", "scheduler_kwargs": {"time_attr": "epoch"}}
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    assert replay_briefly(load_run(tmp_path)) == []


@pytest.mark.parametrize(
    ("num_trials", "odd_one", "is_told"), [(4, None, True), (9, None, True), (3, None, False), (4, 2, False)]
)
def test_equal_values_of_different_configurations_are_told(num_trials: int, odd_one: int | None, is_told: bool) -> None:
    reports = [
        Report(trial, float(epoch), epoch, 0.1 * epoch + (trial == odd_one), None, None)
        for trial in range(num_trials)
        for epoch in range(1, 4)
    ]
    run = Run("loss", True, "epoch", tuple(reports), configs={trial: {"lr": trial} for trial in range(num_trials)})
    told = ignored_configurations(run)
    assert ("does the script read its arguments" in told) == is_told
    same = replace(run, configs={trial: {"lr": 1} for trial in range(num_trials)})
    assert not ignored_configurations(same)
