"""Runs example scripts as a user would, alone, on several ranks, or through their launch script."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from syne_hypersched.contract import EXIT_DRAINED
from syne_hypersched.experiments import Run, check_run, load_run

EXAMPLES = Path(__file__).parents[2] / "examples"
TRAINING_SCRIPTS = EXAMPLES / "training_scripts"
TIMINGS = ("step_time_s", "throughput")


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


def start(name: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(TRAINING_SCRIPTS / f"{name}.py"), *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_ranks(num_ranks: int, name: str, *arguments: str) -> list[subprocess.Popen[str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    together = {"WORLD_SIZE": str(num_ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    together["GLOO_SOCKET_IFNAME"] = "lo"
    return [start(name, *arguments, RANK=str(rank), LOCAL_RANK=str(rank), **together) for rank in range(num_ranks)]


def reports(printed: str) -> dict[int, dict[str, Any]]:
    """What was reported at each epoch, without what differs from run to run."""
    found = [json.loads(line.partition(": ")[2]) for line in printed.splitlines() if "[tune-metric]" in line]
    return {
        report["epoch"]: {
            key: value
            for key, value in report.items()
            if key != "epoch" and key not in TIMINGS and not key.startswith("st_")
        }
        for report in found
    }


def finish(process: subprocess.Popen[str], returncode: int = 0) -> dict[int, dict[str, Any]]:
    printed, errors = process.communicate(timeout=100)
    assert process.returncode == returncode, errors
    return reports(printed)


def finish_ranks(processes: list[subprocess.Popen[str]]) -> dict[int, dict[str, Any]]:
    first, *others = [finish(process) for process in processes]
    assert not any(others), "only rank 0 reports"
    return first


def fails(name: str, *arguments: str) -> str:
    """What the script says on its standard error before it ends with an error."""
    process = start(name, *arguments)
    _, errors = process.communicate(timeout=100)
    assert process.returncode not in (0, None)
    return errors


def launch(name: str, *arguments: str, output: Path) -> Run:
    """The run of a launch script, started in a folder of its own, which has broken none of the rules for runs."""
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--output", str(output), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=output, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot be preloaded" not in done.stderr
    (path,) = (path.parent for path in output.glob("*/metadata.json"))
    run = load_run(path, time_attr="epoch")
    assert check_run(run) == ()
    best = run.incumbent
    assert best is not None
    assert f"best val_accuracy {best.value:.4f}: trial {best.trial_id} at epoch {best.resource:g}" in done.stdout
    assert (path / "best" / "config.json").exists() or (path / "best" / "result.json").exists()
    return run


def interrupt_after_first_report(process: subprocess.Popen[str]) -> dict[int, dict[str, Any]]:
    """Sends SIGTERM once the script has reported; it leaves as a backend that drains it expects."""
    assert process.stdout is not None
    seen: dict[int, dict[str, Any]] = {}
    while not seen:
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        seen = reports(line)
    process.send_signal(signal.SIGTERM)
    return seen | finish(process, returncode=EXIT_DRAINED)
