from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from syne_hypersched.comparison.runner import RunFailedError, run_study
from syne_hypersched.comparison.tables import results_table

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "benchmarking/launch_hpo.py")


def as_csv(results):
    return results_table(results).to_csv(index=False)


def test_the_number_of_processes_changes_nothing(small_study, tmp_path):
    one = run_study(small_study(), tmp_path / "one", jobs=1)
    two = run_study(small_study(), tmp_path / "two", jobs=2)
    assert as_csv(one) == as_csv(two) == as_csv(run_study(small_study()))
    stored = [
        sorted(str(path.relative_to(folder)) for path in folder.rglob("results.csv.zip"))
        for folder in tmp_path.iterdir()
    ]
    assert stored[0] == stored[1]
    for path in (tmp_path / "one").rglob("results.csv.zip"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_finished_runs_are_not_repeated(small_study, tmp_path):
    first = run_study(small_study(), tmp_path)
    outcomes = sorted(tmp_path.rglob("outcome.json"))
    times = {path: path.stat().st_mtime_ns for path in outcomes}
    outcomes[0].unlink()
    progress = []
    again = run_study(small_study(), tmp_path, on_progress=lambda done, total, title: progress.append((done, total)))
    assert as_csv(again) == as_csv(first)
    assert progress == [(7, 8), (8, 8)]
    assert [path.stat().st_mtime_ns for path in outcomes[1:]] == [times[path] for path in outcomes[1:]]


def test_without_a_folder_nothing_is_written(small_study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_study(small_study(seeds=(0,)))
    assert list(tmp_path.iterdir()) == []


def test_without_storing_runs_only_outcomes_are_written(small_study, tmp_path):
    run_study(small_study(seeds=(0,)), tmp_path, store_runs=False)
    assert {path.name for path in (tmp_path / "runs").rglob("*") if path.is_file()} == {"outcome.json"}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_fails_is_named_and_the_finished_ones_are_kept(small_study, tmp_path, jobs):
    # The table has measured no speed-up, which only a run finds out.
    study = small_study(schedulers=("asha",), scalings=("resnet50", "measured"))
    with pytest.raises(
        RunFailedError, match=r"asha, seed [01], table, 4 devices, scaling measured.*ValueError: scaling"
    ):
        run_study(study, tmp_path, jobs=jobs)
    if jobs == 1:
        assert len(list(tmp_path.rglob("outcome.json"))) == 2


def test_what_a_scheduler_refuses_is_known_before_anything_runs(small_study, tmp_path):
    with pytest.raises(ValueError, match="scheduler 'hypersched:policy=nonsense': policy must be one of"):
        run_study(small_study(schedulers=("asha", "hypersched:policy=nonsense")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_arguments_are_checked(small_study):
    with pytest.raises(ValueError, match="jobs must be at least 1, but got 0"):
        run_study(small_study(), jobs=0)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_study_that_was_interrupted_goes_on(table_path, tmp_path, how):
    output = tmp_path / "out"
    options = ["--table", str(table_path), "--metric", "error", "--mode", "min", "--elapsed-attr", "seconds"]
    options += ["--schedulers", "hypersched,asha,random", "--deadline", "4x,8x", "--seeds", "24", "--num-devices", "8"]
    options += ["--jobs", "2", "--output", str(output)]
    process = subprocess.Popen(
        [*COMMAND, *options], cwd=REPOSITORY, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    give_up = time.monotonic() + 60
    while len(list(output.rglob("outcome.json"))) < 5 and time.monotonic() < give_up:
        time.sleep(0.01)
    os.killpg(process.pid, how)
    _, errors = process.communicate(timeout=280)
    finished = {path: path.stat().st_mtime_ns for path in output.rglob("outcome.json")}
    assert 5 <= len(finished) < 96, "the study ended before it was interrupted"
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "the same command continues from there" in errors
        assert "Traceback" not in errors
    assert not (output / "results.csv").exists()

    again = subprocess.run(
        [*COMMAND, *options], cwd=REPOSITORY, capture_output=True, text=True, timeout=280, check=False
    )
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    undisturbed = tmp_path / "undisturbed"
    options[-1] = str(undisturbed)
    subprocess.run([*COMMAND, *options], cwd=REPOSITORY, capture_output=True, timeout=280, check=True)
    assert (output / "results.csv").read_bytes() == (undisturbed / "results.csv").read_bytes()
