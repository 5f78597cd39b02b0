from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from syne_hypersched.experiments import Run, check_run, holdings, load_run
from tests.forked import ForkedPython

EXAMPLES = Path(__file__).parents[2] / "examples"
TRAINING_SCRIPTS = EXAMPLES / "training_scripts"


def launch(name: str, *arguments: str, output: Path) -> tuple[Run, str]:
    command = [sys.executable, str(EXAMPLES / name), "--output", str(output), *arguments]
    # In its own folder: a launch script must not depend on where it is started from.
    done = subprocess.run(command, capture_output=True, text=True, cwd=output, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (path,) = (path.parent for path in output.glob("*/metadata.json"))
    return load_run(path, time_attr="epoch"), done.stdout


@pytest.mark.slow
def test_unchanged_script_is_resized_and_misses_no_epoch(tmp_path: Path) -> None:
    run, printed = launch("launch_checkpoint_example.py", "--deadline", "12", output=tmp_path)
    assert check_run(run, step=1) == ()
    assert run.admission_closed_s is not None
    resized = [holding for holding in holdings(run.events) if holding.reason == "resize"]
    assert len(resized) >= 2
    best = run.incumbent
    assert best is not None
    assert run.path is not None
    assert f"best loss {best.value:.4f}: trial {best.trial_id} at epoch {best.resource}" in printed
    assert str(run.path / "best") in printed
    assert (run.path / "run.png").stat().st_size > 10_000
    published = json.loads((run.path / "best" / "checkpoint" / "checkpoint.json").read_text())
    assert published["epoch"] >= best.resource
    assert json.loads((run.path / "best" / "result.json").read_text())["trial_id"] == best.trial_id


@pytest.mark.slow
def test_digits_are_tuned_by_hypersched(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    run, printed = launch("launch_hypersched_digits.py", "--deadline", "30", "--num-devices", "2", output=tmp_path)
    assert check_run(run, step=1) == ()
    assert {holding.devices for holding in holdings(run.events)} >= {("cpu0",), ("cpu1",)}
    assert all(holding.end_s is not None for holding in holdings(run.events))
    assert run.path is not None
    assert list((run.path / "best" / "checkpoint").glob("checkpoint-*/state.pt"))
    assert re.search(r"s of 12 s left \| admission (open|closed) \| incumbent trial", printed)
    assert "picture: " in printed


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["elastic", "stock"])
def test_digits_are_tuned_by_stock_asha(tmp_path: Path, backend: str) -> None:
    pytest.importorskip("torch")
    run, printed = launch(
        "launch_asha_digits.py", "--deadline", "20", "--num-devices", "2", "--backend", backend, output=tmp_path
    )
    assert run.incumbent is not None
    assert bool(run.events) == (backend == "elastic")
    assert f"best val_accuracy {run.incumbent.value:.4f}" in printed


def test_checkpoint_example_goes_on_from_its_checkpoint(tmp_path: Path, forked: ForkedPython) -> None:
    script = [TRAINING_SCRIPTS / "checkpoint_example.py", "--learning_rate", "0.1", "--sleep_time", "0"]

    def losses(*arguments: str) -> list[float]:
        done = forked.run([*script, *arguments], tmp_path)
        assert done.returncode == 0, done.stderr
        return [
            json.loads(line.partition(": ")[2])["loss"] for line in done.stdout.splitlines() if "tune-metric" in line
        ]

    whole = losses("--num_epochs", "6")
    checkpoint = ["--st_checkpoint_dir", str(tmp_path / "a folder")]
    assert losses("--num_epochs", "4", *checkpoint) + losses("--num_epochs", "6", *checkpoint) == whole
    assert losses("--num_epochs", "6", *checkpoint) == []
