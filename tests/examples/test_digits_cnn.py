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

import pytest

from syne_hypersched.contract import EXIT_DRAINED

torch = pytest.importorskip("torch")

SCRIPT = Path(__file__).parents[2] / "examples" / "training_scripts" / "digits_cnn.py"
SMALL = ["--width", "4", "--batch_size", "256", "--dropout", "0", "--learning_rate", "0.05"]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("digits_cnn", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def start(arguments: list[str], **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *SMALL, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def reports(printed: str) -> dict[int, dict[str, float]]:
    found = [json.loads(line.partition(": ")[2]) for line in printed.splitlines() if line.startswith("[tune-metric]")]
    return {report["epoch"]: report for report in found}


def finish(process: subprocess.Popen[str]) -> dict[int, dict[str, float]]:
    printed, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    return reports(printed)


def start_ranks(num_ranks: int, arguments: list[str]) -> list[subprocess.Popen[str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    together = {"WORLD_SIZE": str(num_ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [start(arguments, RANK=str(rank), LOCAL_RANK=str(rank), **together) for rank in range(num_ranks)]


def test_resumes_on_more_devices_as_if_nothing_had_happened(tmp_path: Path) -> None:
    virtual = ["--virtual_devices", "2"]
    alone = finish(start(["--epochs", "3", *virtual]))
    assert list(alone) == [1, 2, 3]
    assert alone[3]["train_loss"] < alone[1]["train_loss"]

    checkpoint = ["--st_checkpoint_dir", str(tmp_path)]
    first = finish(start(["--epochs", "1", *checkpoint, *virtual]))
    ranks = start_ranks(2, ["--epochs", "3", *checkpoint, *virtual])
    rest, of_other_rank = (finish(process) for process in ranks)
    assert of_other_rank == {}, "only rank 0 reports"
    assert list(first | rest) == [1, 2, 3]
    for epoch, values in (first | rest).items():
        assert values["train_loss"] == alone[epoch]["train_loss"]
        assert values["val_loss"] == pytest.approx(alone[epoch]["val_loss"], rel=1e-6)


def test_every_report_seen_before_sigterm_can_be_resumed_from(tmp_path: Path) -> None:
    process = start(["--epochs", "1000", "--st_checkpoint_dir", str(tmp_path)])
    assert process.stdout is not None
    seen: dict[int, dict[str, float]] = {}
    while len(seen) < 2:
        seen |= reports(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == EXIT_DRAINED
    seen |= reports(rest)
    resumed = finish(start(["--epochs", str(max(seen) + 1), "--st_checkpoint_dir", str(tmp_path)]))
    assert list(resumed) == [max(seen) + 1]


def test_distortion_moves_by_at_most_one_pixel_and_is_reproducible(script: ModuleType) -> None:
    images = torch.zeros(200, 1, 8, 8)
    images[:, 0, 4, 4] = 100.0
    first = script.distort(images, torch.Generator().manual_seed(1))
    again = script.distort(images, torch.Generator().manual_seed(1))
    assert torch.equal(first, again)
    spots = {divmod(int(image.argmax()), 8) for image in first}
    assert spots == {(row, column) for row in (3, 4, 5) for column in (3, 4, 5)}


def test_the_learning_rate_falls_from_the_first_epoch_to_the_last(script: ModuleType) -> None:
    rates = [script.learning_rate_in(epoch, 0.1, 0.01, 5) for epoch in range(1, 6)]
    assert rates == pytest.approx([0.1, 0.1 * 0.01**0.25, 0.01, 0.1 * 0.01**0.75, 0.001])
    assert script.learning_rate_in(1, 0.1, 0.01, 1) == 0.1
