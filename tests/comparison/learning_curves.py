"""A small invented table of learning curves, for tests that compare schedulers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

NUM_CONFIGS = 40
NUM_EPOCHS = 9


def write_learning_curves(path: Path) -> Path:
    """Writes learning curves of 40 configurations over 9 epochs; a full run takes from 9 to 27 seconds."""
    random_state = np.random.RandomState(0)
    lines = ["lr,width,epoch,seconds,error"]
    for index in range(NUM_CONFIGS):
        lr, width = 10 ** random_state.uniform(-4, 0), int(random_state.randint(4, 64))
        epoch_s = 1 + 2 * index / NUM_CONFIGS
        final = 0.1 + 0.1 * abs(math.log10(lr) + 2) + 0.002 * width
        for epoch in range(1, NUM_EPOCHS + 1):
            error = final + 0.6 * math.exp(-epoch / 2) + random_state.normal(0, 0.01)
            lines.append(f"{lr},{width},{epoch},{epoch * epoch_s},{error}")
    path.write_text("\n".join(lines) + "\n")
    return path
