from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from syne_hypersched.experiments import check_run, load_run

SCRIPT = Path(__file__).parents[2] / "examples" / "launch_python_function.py"


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.syspath_prepend(SCRIPT.parent)
    import launch_python_function

    return launch_python_function.train


def test_goes_on_from_its_checkpoint_as_if_nothing_had_happened(
    train: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def losses(folder: str, epochs: int) -> list[tuple[int, float]]:
        train(0.5, 1e-4, 16, epochs, str(tmp_path / folder))
        reports = [json.loads(line.partition(": ")[2]) for line in capsys.readouterr().out.splitlines()]
        return [(report["epoch"], report["val_loss"]) for report in reports]

    whole = losses("whole", 6)
    assert [epoch for epoch, _ in whole] == [1, 2, 3, 4, 5, 6]
    assert whole[-1][1] < 0.5 * whole[0][1]
    # What it has loaded it reports once more, in case that it was ended before it could. Backends drop the second one.
    assert losses("in parts", 4) + losses("in parts", 6)[1:] == whole
    assert losses("in parts", 6) == whole[-1:]


@pytest.mark.slow
def test_is_tuned_with_trials_that_go_on_where_they_were(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--output", str(tmp_path), "--deadline", "12", "--num-devices", "2"]
    # In its own folder: a launch script must not depend on where it is started from.
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (path,) = (path.parent for path in tmp_path.glob("*/metadata.json"))
    run = load_run(path, time_attr="epoch")
    assert check_run(run, step=1) == ()
    assert any(event.event == "resume" for event in run.events)
    best = run.incumbent
    assert best is not None
    assert f"best val_loss {best.value:.4f}: trial {best.trial_id} at epoch {best.resource}" in done.stdout
    with np.load(path / "best" / "checkpoint" / "checkpoint.npz") as state:
        assert state["weights"].shape == (64, 10)
        assert state["epoch"] >= best.resource
