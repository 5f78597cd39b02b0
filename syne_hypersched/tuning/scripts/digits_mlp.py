"""A small neural network on handwritten digits: the script of ``hypersched demo``. Change or replace it as you like."""

import argparse
import os
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from syne_tune import Reporter

NOISE_STD = 0.3
COPIES = 4

parser = argparse.ArgumentParser()
parser.add_argument("--learning_rate", type=float, default=0.1)
parser.add_argument("--momentum", type=float, default=0.9)
parser.add_argument("--weight_decay", type=float, default=1e-4)
parser.add_argument("--width", type=int, default=64)
parser.add_argument("--batch_size", type=int, default=128)
parser.add_argument("--epochs", type=int, default=81)
parser.add_argument("--st_checkpoint_dir", type=Path, default=Path("checkpoints"))
options = parser.parse_args()

data, labels = load_digits(return_X_y=True)
train_x, val_x, train_y, val_y = train_test_split(data / 16, labels, test_size=0.25, random_state=0, stratify=labels)
train_x, train_y = np.tile(train_x, (COPIES, 1)), np.tile(train_y, COPIES)
val_x = val_x + np.random.default_rng(0).normal(0, NOISE_STD, val_x.shape)

# Two layers of weights and biases, and the velocity of each of them.
generator = np.random.default_rng(0)
sizes = [(64, options.width), (options.width, 10)]
weights = [w for n, m in sizes for w in (generator.normal(0, n**-0.5, (n, m)), np.zeros(m))]
speeds = [np.zeros_like(w) for w in weights]
report, result = Reporter(), {"epoch": 0}

options.st_checkpoint_dir.mkdir(parents=True, exist_ok=True)
checkpoint = options.st_checkpoint_dir / "state.npz"
if checkpoint.exists():
    with np.load(checkpoint, allow_pickle=False) as state:
        weights, speeds = ([state[f"{name}{i}"] for i in range(4)] for name in ("weight", "speed"))
        result = {"epoch": int(state["epoch"]), "val_accuracy": float(state["val_accuracy"])}
    # The script may have been ended after this checkpoint and before its report. Otherwise, the report is ignored.
    report(**result)


def forward(x):
    """The hidden layer and the logits."""
    hidden = np.maximum(x @ weights[0] + weights[1], 0)
    return hidden, hidden @ weights[2] + weights[3]


for epoch in range(result["epoch"] + 1, options.epochs + 1):
    # Noise and order depend only on the epoch. So a resumed trial trains exactly as one that was never interrupted.
    generator = np.random.default_rng(epoch)
    noisy = train_x + generator.normal(0, NOISE_STD, train_x.shape)
    for batch in np.array_split(generator.permutation(len(noisy)), max(1, len(noisy) // options.batch_size)):
        hidden, logits = forward(noisy[batch])
        error = np.exp(logits - logits.max(axis=1, keepdims=True))
        error /= error.sum(axis=1, keepdims=True)
        error[np.arange(len(batch)), train_y[batch]] -= 1
        error /= len(batch)
        back = (error @ weights[2].T) * (hidden > 0)
        gradients = [noisy[batch].T @ back, back.sum(axis=0), hidden.T @ error, error.sum(axis=0)]
        for weight, speed, gradient in zip(weights, speeds, gradients, strict=True):
            speed *= options.momentum
            speed -= options.learning_rate * (gradient + options.weight_decay * weight)
            weight += speed
    result = {"epoch": epoch, "val_accuracy": float((forward(val_x)[1].argmax(axis=1) == val_y).mean())}
    new = checkpoint.with_suffix(".new.npz")
    arrays = {f"weight{i}": weight for i, weight in enumerate(weights)}
    arrays |= {f"speed{i}": speed for i, speed in enumerate(speeds)}
    np.savez(new, **arrays, **result)
    os.replace(new, checkpoint)
    report(**result)
