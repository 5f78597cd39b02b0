from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from syne_hypersched.experiments import check_run, load_run
from tests.examples._scripts import EXAMPLES


@pytest.mark.slow
@pytest.mark.timeout(1800)  # the libraries take a minute to import on a busy machine
@pytest.mark.parametrize(
    ("name", "library", "time_attr"),
    [
        ("launch_hf.py", "transformers", "epoch"),
        ("launch_lightning.py", "lightning", "epoch"),
        ("launch_fabric.py", "lightning", "epoch"),
        ("launch_accelerate.py", "accelerate", "epoch"),
        ("launch_xgboost.py", "xgboost", "round"),
    ],
)
def test_a_framework_is_tuned(tmp_path, name, library, time_attr):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"no {library}")
    command = [sys.executable, str(EXAMPLES / name), "--output", str(tmp_path), "--deadline", "60", "--num-devices=2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (path,) = (path.parent for path in tmp_path.glob("*/metadata.json"))
    run = load_run(path, time_attr=time_attr)
    assert check_run(run, step=1) == ()
    assert run.incumbent is not None
    assert any((path / "best" / "checkpoint").iterdir())
