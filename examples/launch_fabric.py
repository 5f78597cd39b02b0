"""HyperSched tunes a network with its own training loop, which Lightning Fabric runs on several devices."""

from __future__ import annotations

from syne_tune.config_space import choice, loguniform
from tune_frameworks import tune

MAX_EPOCHS = 27
CONFIG_SPACE = {"learning_rate": loguniform(1e-3, 1.0), "width": choice([16, 32, 64]), "epochs": MAX_EPOCHS}

if __name__ == "__main__":
    tune(
        __doc__,
        "fabric_digits.py",
        CONFIG_SPACE,
        metric="val_loss",
        max_t=MAX_EPOCHS,
        preload=["syne_tune", "torch", "sklearn.datasets", "_torchvision", "lightning"],
    )
