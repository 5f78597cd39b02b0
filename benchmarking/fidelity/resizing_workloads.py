"""Trainings that are resized. Used by ``invisible_resizing.py``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


SCRIPTS = ROOT / "examples" / "training_scripts"


@dataclass(frozen=True)
class Workload:
    """A script with its arguments, and the metrics that must be equal."""

    script: Path
    arguments: tuple[str, ...]
    metrics: tuple[str, ...]


_DIGITS = ("--epochs", "40", "--width", "8", "--batch_size", "128", "--dropout", "0.2", "--learning_rate", "0.05")


_TRANSFORMER = ("--epochs", "24", "--num_characters", "60000", "--width", "32", "--context", "32")


WORKLOADS = {
    "digits_cnn": Workload(
        SCRIPTS / "digits_cnn.py",
        (*_DIGITS, "--virtual_devices", "2"),
        ("train_loss", "val_loss", "val_accuracy"),
    ),
    "digits_cnn_ddp": Workload(SCRIPTS / "digits_cnn.py", _DIGITS, ("train_loss", "val_loss", "val_accuracy")),
    "transformer_lm": Workload(SCRIPTS / "transformer_lm.py", _TRANSFORMER, ("train_loss", "val_loss")),
    "transformer_lm_sharded": Workload(
        SCRIPTS / "transformer_lm.py", (*_TRANSFORMER, "--shard", "1"), ("train_loss", "val_loss")
    ),
    "counting": Workload(
        Path(__file__).with_name("counting_script.py"),
        ("--epochs", "24"),
        ("train_loss", "mean_hash_0", "mean_hash_1", "mean_hash_2"),
    ),
}
