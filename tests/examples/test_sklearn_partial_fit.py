from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from syne_hypersched.experiments import holdings
from tests.examples._scripts import TRAINING_SCRIPTS, launch, load_script

SCRIPT = TRAINING_SCRIPTS / "sklearn_partial_fit.py"
SMALL = ["--num_features", "40", "--copies", "1", "--learning_rate", "0.3"]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("sklearn_partial_fit")


def start(*arguments: str, num_threads: int = 1) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *SMALL, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": str(num_threads)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def reports(printed: str) -> dict[int, dict[str, Any]]:
    found = [json.loads(line.partition(": ")[2]) for line in printed.splitlines() if "tune-metric" in line]
    return {report["epoch"]: {name: report[name] for name in ("val_accuracy", "val_loss")} for report in found}


def finish(process: subprocess.Popen[str]) -> dict[int, dict[str, Any]]:
    printed, errors = process.communicate(timeout=280)
    assert process.returncode == 0, errors
    return reports(printed)


def make_model(script: ModuleType, seed: int = 0) -> Any:
    return script.make_model(Namespace(alpha=1e-4, learning_rate=0.1, power_t=0.3, seed=seed), num_threads=1)


@pytest.mark.slow
def test_resumes_on_more_threads_as_if_nothing_had_happened(tmp_path: Path) -> None:
    running_alone = start("--epochs", "4")
    checkpoint = ["--st_checkpoint_dir", str(tmp_path / "a folder")]
    first = finish(start("--epochs", "2", *checkpoint))
    alone = finish(running_alone)
    assert list(alone) == [1, 2, 3, 4]
    assert alone[4]["val_loss"] < 0.8 * alone[1]["val_loss"]
    rest = finish(start("--epochs", "4", *checkpoint, num_threads=2))
    assert list(rest) == [3, 4]
    for epoch, values in (first | rest).items():
        assert values == pytest.approx(alone[epoch], rel=1e-9)
    assert finish(start("--epochs", "4", *checkpoint)) == {}


def run_in_fork(script: ModuleType, *arguments: str) -> tuple[dict[int, dict[str, Any]], int]:
    """Runs the script in a fork of this process, which has imported scikit-learn: reports, and how it has ended."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.dup2(writing, 1)
            sys.argv = [str(SCRIPT), *SMALL, *arguments]
            with os.fdopen(1, "w") as sys.stdout:
                script.train(script.parse_args(), num_threads=1)
            os._exit(0)
        finally:
            os._exit(7)
    os.close(writing)
    with os.fdopen(reading) as printed:
        seen = reports(printed.read())
    _, status = os.waitpid(process, 0)
    return seen, os.waitstatus_to_exitcode(status)


def test_every_report_seen_before_sigterm_can_be_resumed_from(script: ModuleType, tmp_path: Path) -> None:
    process = start("--epochs", "100000", "--st_checkpoint_dir", str(tmp_path))
    assert process.stdout is not None
    seen: dict[int, dict[str, Any]] = {}
    while len(seen) < 3:
        seen |= reports(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=280)
    assert process.returncode == -signal.SIGTERM
    seen |= reports(rest)
    assert list(seen) == list(range(1, len(seen) + 1))
    resumed, code = run_in_fork(script, "--epochs", str(len(seen) + 1), "--st_checkpoint_dir", str(tmp_path))
    assert (list(resumed), code) == ([len(seen) + 1], 0)


def test_sigterm_between_checkpoint_and_report_does_not_lose_the_report(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = script.save_checkpoint

    def save_and_be_terminated(*arguments: Any) -> None:
        save(*arguments)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(script, "save_checkpoint", save_and_be_terminated)
    seen, code = run_in_fork(script, "--epochs", "5", "--st_checkpoint_dir", str(tmp_path))
    assert (list(seen), code) == ([1], -signal.SIGTERM)
    assert script.load_checkpoint(tmp_path / "checkpoint.npz", make_model(script)) == 1


def test_checkpoint_holds_the_whole_state_without_pickle(script: ModuleType, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    features, labels = generator.standard_normal((60, 7)), np.arange(60) % script.NUM_CLASSES
    original, order = make_model(script), generator.permutation(60)
    script.train_epoch(original, features, labels, order)
    path = tmp_path / "new" / "checkpoint.npz"
    script.save_checkpoint(path, original, epoch=3)
    with np.load(path, allow_pickle=False) as arrays:
        assert {arrays[name].dtype.kind for name in arrays.files} == {"f", "U"}

    restored = make_model(script)
    assert script.load_checkpoint(path, restored) == 3
    for model in (original, restored):
        script.train_epoch(model, features, labels, order[::-1])
    np.testing.assert_array_equal(restored.coef_, original.coef_)
    np.testing.assert_array_equal(restored.intercept_, original.intercept_)
    assert restored.t_ == original.t_


def test_checkpoint_is_replaced_as_a_whole(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, model = tmp_path / "checkpoint.npz", make_model(script)
    script.train_epoch(model, np.eye(script.NUM_CLASSES), np.arange(script.NUM_CLASSES), np.arange(10))
    script.save_checkpoint(path, model, epoch=1)

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        script.save_checkpoint(path, model, epoch=2)
    assert script.load_checkpoint(path, make_model(script)) == 1


@pytest.mark.slow
def test_is_tuned_on_more_and_fewer_threads_without_missing_an_epoch(tmp_path: Path) -> None:
    arguments = ("--strategy", "published", "--deadline", "12", "--num-devices", "2")
    run = launch("launch_sklearn", *arguments, output=tmp_path)
    assert "resize" in {holding.reason for holding in holdings(run.events)}
    best = run.incumbent
    assert best is not None
    assert best.value > 0.5
    assert run.path is not None
    with np.load(run.path / "best" / "checkpoint" / "checkpoint.npz", allow_pickle=False) as arrays:
        assert json.loads(str(arrays["state"]))["epoch"] >= best.resource
