from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

torch = pytest.importorskip("torch")

from tests.examples._scripts import Scripts, load_script, run_alone  # noqa: E402

SMALL = ("--width", "4", "--batch_size", "256", "--dropout", "0.1", "--learning_rate", "0.05")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("digits_cnn")


@pytest.mark.slow  # the quick tests run another script alone, and this one in forks of a server
def test_runs_alone() -> None:
    done = run_alone("digits_cnn", *SMALL, "--epochs", "2")
    assert done.returncode == 0, done.stderr
    assert [line.count('"val_accuracy"') for line in done.stdout.splitlines()] == [1, 1]


@pytest.mark.slow
def test_resized_it_goes_on_as_if_nothing_had_happened(scripts: Scripts, tmp_path: Path) -> None:
    small = (*SMALL, "--virtual_devices", "2")
    kept = (*small, "--st_checkpoint_dir", str(tmp_path))
    seen = scripts.start("digits_cnn", *kept, "--epochs", "1000").interrupt_after(1)
    last = max(seen) + 3
    seen |= scripts.start("digits_cnn", *kept, "--epochs", str(last), num_ranks=2).finish()
    alone = scripts.start("digits_cnn", *small, "--epochs", str(last)).finish()
    assert list(seen) == list(alone) == list(range(1, last + 1))
    assert alone[last]["train_loss"] < alone[1]["train_loss"]
    for epoch, report in seen.items():
        assert report["train_loss"] == alone[epoch]["train_loss"]
        # What is validated is divided among the devices as they are.
        assert report["val_loss"] == pytest.approx(alone[epoch]["val_loss"], rel=1e-6)


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
