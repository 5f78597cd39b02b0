"""The scripts for Slurm can be read by their interpreters, and name what exists."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "examples" / "slurm"


def test_the_batch_script_is_bash():
    done = subprocess.run(["bash", "-n", FOLDER / "tune.sbatch"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_batch_script_starts_ray_with_addresses_and_never_ends_that_of_others():
    text = (FOLDER / "tune.sbatch").read_text()
    assert "--node-ip-address=" in text
    assert "RAY_AUTH_MODE=token" in text
    assert "ray stop" not in text
    assert "symmetric-run" not in text.split("set -u")[1]


def test_the_tuner_is_python_and_its_arguments_exist():
    from syne_hypersched import ElasticRayBackend

    tree = ast.parse((FOLDER / "tune.py").read_text())
    (call,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ElasticRayBackend"
    ]
    known = ElasticRayBackend.__init__.__annotations__
    assert {keyword.arg for keyword in call.keywords} <= known.keys()
