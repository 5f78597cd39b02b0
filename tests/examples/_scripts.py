"""Runs the examples for real: training scripts forked from a preloading server, as backends do it, on one or
several ranks, and whole launch scripts.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from syne_hypersched.backends.machine.discovery import find_devices
from syne_hypersched.backends.machine.environment import rank_environments
from syne_hypersched.contract import EXIT_DRAINED
from syne_hypersched.experiments import Run, check_run, load_run
from syne_hypersched.launch import Launcher, LaunchExit, LaunchSpec, RankSpec

EXAMPLES = Path(__file__).parents[2] / "examples"
TRAINING_SCRIPTS = EXAMPLES / "training_scripts"
PRELOAD = ("syne_tune", "torch", "torch._dynamo", "_torchvision", "syne_hypersched.training")
PATIENCE_S = 250.0


def load_script(name: str) -> ModuleType:
    """The training script as a module; the modules beside it are found only while it is loaded."""
    spec = importlib.util.spec_from_file_location(name, TRAINING_SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TRAINING_SCRIPTS)
        spec.loader.exec_module(module)
    return module


class Training:
    """One launch of a training script, which may have several ranks."""

    def __init__(self, launcher: Launcher, name: str, arguments: tuple[str, ...], num_ranks: int, folder: Path) -> None:
        self._launcher = launcher
        self._folder = folder
        self.ended = threading.Event()
        self.exit: LaunchExit | None = None
        devices = find_devices(2, device_type="cpu")
        environments = rank_environments(devices, devices.names[:num_ranks], True, os.environ)
        ranks = tuple(
            RankSpec(environment, str(folder / f"out-{rank}"), str(folder / f"err-{rank}"))
            for rank, (environment, _) in enumerate(environments)
        )
        script = str(TRAINING_SCRIPTS / f"{name}.py")
        self.launch = launcher.launch(LaunchSpec((script, *arguments), ranks, warm=True, grace_s=PATIENCE_S))

    def reports(self, rank: int = 0) -> dict[int, dict[str, Any]]:
        """The reports of a rank at each epoch so far, without measured seconds."""
        path = self._folder / f"out-{rank}"
        printed = path.read_text().splitlines(keepends=True) if path.exists() else []
        lines = [line for line in printed if line.startswith("[tune-metric]") and line.endswith("\n")]
        found = [json.loads(line.partition(": ")[2]) for line in lines]
        left_out = ("epoch", "step_time_s", "throughput")
        return {
            report["epoch"]: {
                key: value for key, value in report.items() if key not in left_out and not key.startswith("st_")
            }
            for report in found
        }

    def errors(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self._folder.glob("err-*")))

    def interrupt_after(self, num_reports: int) -> dict[int, dict[str, Any]]:
        """Drains it after a number of reports; returns all its reports when it has ended."""
        give_up_at = time.monotonic() + PATIENCE_S
        while len(self.reports()) < num_reports:
            assert not self.ended.is_set(), self.errors()
            assert time.monotonic() < give_up_at, f"no {num_reports} reports within {PATIENCE_S} s"
            time.sleep(0.01)
        self._launcher.drain(self.launch, grace_s=PATIENCE_S)
        return self.finish(EXIT_DRAINED)

    def finish(self, exit_code: int = 0) -> dict[int, dict[str, Any]]:
        """All its reports after it has ended by itself with this exit code on every rank."""
        assert self.ended.wait(PATIENCE_S), f"still running after {PATIENCE_S} s"
        assert self.exit is not None
        assert not self.exit.killed
        assert set(self.exit.exit_codes) == {exit_code}, self.errors()
        assert not any(self.reports(rank) for rank in range(1, len(self.exit.exit_codes))), "only rank 0 reports"
        return self.reports()


class Scripts:
    """Starts training scripts, each in a folder of its own below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._trainings: dict[int, Training] = {}
        self._lock = threading.Lock()
        self._launcher = Launcher(lambda *_: None, self._on_exit, PRELOAD, log_path=folder / "server.log")

    def start(self, name: str, *arguments: str, num_ranks: int = 1) -> Training:
        with self._lock, pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(TRAINING_SCRIPTS), prepend=os.pathsep)
            folder = self._folder / f"{name}-{len(self._trainings)}"
            folder.mkdir()
            training = Training(self._launcher, name, arguments, num_ranks, folder)
            self._trainings[training.launch] = training
        return training

    def close(self) -> None:
        self._launcher.close()

    def _on_exit(self, launch: int, how: LaunchExit, moment: float) -> None:
        with self._lock:
            training = self._trainings[launch]
        training.exit = how
        training.ended.set()


def launch(name: str, *arguments: str, output: Path) -> Run:
    """The run of a launch script, started in a folder of its own, which has broken none of the rules for runs."""
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--output", str(output), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=output, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot be preloaded" not in done.stderr
    (path,) = (path.parent for path in output.glob("*/metadata.json"))
    run = load_run(path, time_attr="epoch")
    assert check_run(run, step=1) == ()
    best = run.incumbent
    assert best is not None
    assert f"best val_accuracy {best.value:.4f}: trial {best.trial_id} at epoch {best.resource:g}" in done.stdout
    published = json.loads((path / "best" / "result.json").read_text())
    assert published["trial_id"] == best.trial_id
    return run


def run_alone(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a training script without a tuner and a launcher."""
    return subprocess.run(
        [sys.executable, str(TRAINING_SCRIPTS / f"{name}.py"), *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # more threads only wait for each other where the cores are busy
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
