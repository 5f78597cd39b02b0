from __future__ import annotations

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

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
    found = re.findall(
        r'"epoch": (\d+), "val_accuracy": ([\d.]+), "val_loss": ([\d.]+), "train_loss": ([\d.]+)', printed
    )
    return {
        int(epoch): dict(zip(("val_accuracy", "val_loss", "train_loss"), map(float, rest), strict=True))
        for epoch, *rest in found
    }


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
    alone = finish(start(["--epochs", "3"]))
    assert list(alone) == [1, 2, 3]
    assert alone[3]["train_loss"] < alone[1]["train_loss"]

    checkpoint = ["--st_checkpoint_dir", str(tmp_path)]
    first = finish(start(["--epochs", "1", *checkpoint]))
    ranks = start_ranks(2, ["--epochs", "3", *checkpoint])
    rest, of_other_rank = (finish(process) for process in ranks)
    assert of_other_rank == {}, "only rank 0 reports"
    assert list(first | rest) == [1, 2, 3]
    for epoch, values in (first | rest).items():
        assert values["train_loss"] == pytest.approx(alone[epoch]["train_loss"], rel=0.02)
        assert values["val_loss"] == pytest.approx(alone[epoch]["val_loss"], rel=0.05)


def test_every_report_seen_before_sigterm_can_be_resumed_from(tmp_path: Path) -> None:
    process = start(["--epochs", "1000", "--st_checkpoint_dir", str(tmp_path)])
    assert process.stdout is not None
    seen: dict[int, dict[str, float]] = {}
    while len(seen) < 2:
        seen |= reports(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    seen |= reports(rest)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved["epoch"] == max(seen)
    resumed = finish(start(["--epochs", str(max(seen) + 1), "--st_checkpoint_dir", str(tmp_path)]))
    assert list(resumed) == [max(seen) + 1]


def test_sigterm_waits_for_the_block_and_takes_effect_at_its_end(script: ModuleType, tmp_path: Path) -> None:
    written = tmp_path / "written"
    process = os.fork()
    if process == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with script.sigterm_deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            written.write_text("the block was finished")
        os._exit(7)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGTERM
    assert written.read_text() == "the block was finished"


def test_checkpoint_is_replaced_as_a_whole(script: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "new" / "checkpoint.pt"
    script.save_checkpoint(path, {"epoch": 1})

    class Unsaveable:
        def __reduce__(self) -> Any:
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        script.save_checkpoint(path, {"epoch": 2, "bad": Unsaveable()})
    assert torch.load(path, weights_only=True) == {"epoch": 1}


def test_distortion_moves_by_at_most_one_pixel_and_is_reproducible(script: ModuleType) -> None:
    images = torch.zeros(200, 1, 8, 8)
    images[:, 0, 4, 4] = 100.0
    first = script.distort(images, torch.Generator().manual_seed(1))
    again = script.distort(images, torch.Generator().manual_seed(1))
    assert torch.equal(first, again)
    spots = {divmod(int(image.argmax()), 8) for image in first}
    assert spots == {(row, column) for row in (3, 4, 5) for column in (3, 4, 5)}


def test_shares_of_the_ranks_add_up_to_the_gradient_of_the_whole_batch(script: ModuleType) -> None:
    torch.manual_seed(0)
    images, labels = torch.randn(10, 1, 8, 8), torch.randint(0, 10, (10,))
    network = script.DigitsCNN(width=4, dropout=0.0)

    class KeepsGradients(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            gradients.append([weight.grad.clone() for weight in network.parameters()])

    gradients: list[Any] = []
    optimizer = KeepsGradients(network.parameters(), lr=1.0)
    for num_ranks, rank in ((1, 0), (3, 0), (3, 1), (3, 2)):
        script.train_epoch(network, optimizer, images, labels, batch_size=10, num_ranks=num_ranks, rank=rank)
    whole, *shares = gradients
    for expected, *parts in zip(whole, *shares, strict=True):
        # DistributedDataParallel takes the mean over the ranks.
        torch.testing.assert_close(sum(parts) / 3, expected, rtol=1e-4, atol=1e-6)
