"""A small neural network on handwritten digits: the script of ``hypersched demo``, to be changed or replaced."""

import argparse
import os
import pickle
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from syne_tune import Reporter

parser = argparse.ArgumentParser()
parser.add_argument("--learning_rate", type=float, default=0.01)
parser.add_argument("--momentum", type=float, default=0.9)
parser.add_argument("--alpha", type=float, default=1e-4)
parser.add_argument("--width", type=int, default=64)
parser.add_argument("--batch_size", type=int, default=128)
parser.add_argument("--epochs", type=int, default=81)
parser.add_argument("--st_checkpoint_dir", type=Path, default=Path("checkpoints"))
options = parser.parse_args()

data, labels = load_digits(return_X_y=True)
train_x, val_x, train_y, val_y = train_test_split(data / 16, labels, test_size=0.25, random_state=0, stratify=labels)
val_x = val_x + np.random.default_rng(0).normal(0, 0.3, val_x.shape)

options.st_checkpoint_dir.mkdir(parents=True, exist_ok=True)
checkpoint = options.st_checkpoint_dir / "state.pkl"
if checkpoint.exists():
    epochs_done, model = pickle.loads(checkpoint.read_bytes())
else:
    epochs_done, model = 0, MLPClassifier(
        (options.width, options.width), solver="sgd", learning_rate_init=options.learning_rate, alpha=options.alpha,
        momentum=options.momentum, batch_size=options.batch_size, random_state=0,
    )  # fmt: skip
report = Reporter()
for epoch in range(epochs_done + 1, options.epochs + 1):
    # Each epoch has its own noise, which depends on nothing but its number: a trial that goes on trains the same.
    generator = np.random.default_rng(epoch)
    for _ in range(4):
        model.partial_fit(train_x + generator.normal(0, 0.3, train_x.shape), train_y, classes=np.arange(10))
    accuracy = float(model.score(val_x, val_y))
    new = checkpoint.with_suffix(".new")
    new.write_bytes(pickle.dumps((epoch, model)))
    os.replace(new, checkpoint)
    report(epoch=epoch, val_accuracy=accuracy)
