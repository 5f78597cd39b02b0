from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from syne_hypersched.experiments import Report, Run, check_run, load_run
from tests.examples._scripts import EXAMPLES, TRAINING_SCRIPTS, load_script
from tests.forked import ForkedPython

SCRIPT = TRAINING_SCRIPTS / "plain_script.py"


def reports(forked: ForkedPython, folder: Path, *arguments: str) -> list[dict[str, Any]]:
    done = forked.run([SCRIPT, "--learning_rate", "0.3", "--num_hidden", "16", *arguments], folder)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line.partition(": ")[2]) for line in done.stdout.splitlines() if "tune-metric" in line]
    return [{name: report[name] for name in ("epoch", "val_loss", "val_error")} for report in found]


def check_missing_reports(run: Run) -> None:
    """A launch that is ended between a checkpoint and its report loses that one report, and nothing else is lost."""
    last: dict[int, Report] = {}
    for report in run.reports:
        before = last.get(report.trial_id)
        if before is not None and report.launch == before.launch:
            assert report.resource == before.resource + 1
        elif before is not None:
            assert report.resource - before.resource in (1, 2)
        last[report.trial_id] = report


def test_goes_on_from_its_checkpoint_as_if_nothing_had_happened(tmp_path: Path, forked: ForkedPython) -> None:
    def run(epochs: int, *arguments: str) -> list[dict[str, Any]]:
        return reports(forked, tmp_path, "--epochs", str(epochs), *arguments)

    whole = run(6)
    assert [report["epoch"] for report in whole] == [1, 2, 3, 4, 5, 6]
    assert whole[-1]["val_loss"] < 0.7 * whole[0]["val_loss"]
    checkpoint = ["--st_checkpoint_dir", str(tmp_path / "a folder")]
    assert run(4, *checkpoint) + run(6, *checkpoint) == whole
    assert run(6, *checkpoint) == []


def test_gradients_are_those_of_the_loss() -> None:
    plain_script = load_script("plain_script")
    generator = np.random.default_rng(0)
    points, arms = plain_script.make_spirals(generator)
    network = plain_script.make_network(5, generator)
    network["weights_2"] = generator.standard_normal(5)

    def loss(changed: dict[str, Any]) -> float:
        _, probability = plain_script.predict(network | changed, points)
        return float(-np.mean(np.log(np.where(arms == 1, probability, 1.0 - probability))))

    stepped = dict(network)
    plain_script.train_step(stepped, points, arms, learning_rate=1.0, momentum=0.0)
    for name in ("weights_1", "biases_1", "weights_2", "bias_2"):
        direction = generator.standard_normal(network[name].shape)
        ahead, behind = ({name: network[name] + step * direction} for step in (1e-6, -1e-6))
        slope = (loss(ahead) - loss(behind)) / 2e-6
        assert slope == pytest.approx(-np.sum((stepped[name] - network[name]) * direction), rel=1e-4, abs=1e-8)


def test_knows_nothing_of_this_project() -> None:
    assert not re.search("hypersched|devices?=|signal", SCRIPT.read_text().partition('"""\n\n')[2])


@pytest.mark.slow
def test_is_paused_and_resumed_by_pasha_without_missing_an_epoch(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "launch_plain_script.py"), "--output", str(tmp_path)]
    done = subprocess.run(
        [*command, "--deadline", "10", "--num-devices", "2"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (path,) = (path.parent for path in tmp_path.glob("*/metadata.json"))
    run = load_run(path, time_attr="epoch")
    assert {violation.rule for violation in check_run(run, step=1)} <= {"missing"}
    check_missing_reports(run)
    assert any(event.event == "resume" for event in run.events)
    best = run.incumbent
    assert best is not None
    assert f"best val_loss {best.value:.4f}: trial {best.trial_id} at epoch {best.resource}" in done.stdout
    (cap,) = re.findall(r"cap rose to (\d+) of 81 epochs", done.stdout)
    assert best.resource <= int(cap)
    with np.load(path / "best" / "checkpoint" / "checkpoint.npz", allow_pickle=False) as arrays:
        assert arrays["epoch"] >= best.resource
