"""HyperSched on a function of this file instead of a script: softmax regression on scikit-learn's digits, in NumPy.

Every trial calls the function in its own processes. After a pause or a resize, the function is called again and
continues from its checkpoint. Names of this file that the function uses (imported modules and ``softmax``) are stored
with the function.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
from digits_search_space import make_parser, parse_args
from sklearn.datasets import load_digits
from syne_tune import Reporter, Tuner
from syne_tune.config_space import lograndint, loguniform
from syne_tune.results_callback import StoreResultsCallback

from syne_hypersched import Deadline, ElasticPythonBackend, HyperSched
from syne_hypersched.experiments import LiveProgress, QuietTunerLogger
from syne_hypersched.experiments.report import report_run

MAX_EPOCHS = 243
CONFIG_SPACE = {
    "learning_rate": loguniform(1e-4, 10.0),
    "weight_decay": loguniform(1e-6, 1e-1),
    "batch_size": lograndint(4, 64),
    "epochs": MAX_EPOCHS,
}


def softmax(logits: np.ndarray) -> np.ndarray:
    likelihoods = np.exp(logits - logits.max(axis=1, keepdims=True))
    return likelihoods / likelihoods.sum(axis=1, keepdims=True)


def train(learning_rate: float, weight_decay: float, batch_size: int, epochs: int, st_checkpoint_dir: str) -> None:
    images, digits = load_digits(return_X_y=True)
    images, one_hot = images / 16.0, np.eye(10)[digits]
    train_rows, val_rows = np.split(np.random.default_rng(0).permutation(len(images)), [1300])

    weights, epochs_done = np.zeros((64, 10)), 0
    report = Reporter()
    checkpoint = Path(st_checkpoint_dir) / "checkpoint.npz"
    if checkpoint.exists():
        with np.load(checkpoint) as state:
            weights, epochs_done, val_loss = state["weights"], int(state["epoch"]), float(state["val_loss"])
        # The trial may have been ended between its checkpoint and its report. Otherwise this report is dropped.
        report(epoch=epochs_done, val_loss=val_loss)

    for epoch in range(epochs_done + 1, epochs + 1):
        # Every epoch has its own order, which does not depend on interruptions.
        order = np.random.default_rng(epoch).permutation(train_rows)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            error = softmax(images[batch] @ weights) - one_hot[batch]
            weights -= learning_rate * (images[batch].T @ error / len(batch) + weight_decay * weights)
        probability = softmax(images[val_rows] @ weights)[np.arange(len(val_rows)), digits[val_rows]]
        val_loss = float(-np.log(probability + 1e-12).mean())
        # A temporary file is renamed, so the checkpoint is always complete. It is saved before its report.
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        aside = checkpoint.with_name("aside.npz")
        np.savez(aside, weights=weights, epoch=epoch, val_loss=val_loss)
        os.replace(aside, checkpoint)
        report(epoch=epoch, val_loss=val_loss)


def main() -> None:
    args = parse_args(make_parser(__doc__))
    logging.getLogger().setLevel(logging.WARNING)
    print(f"Tuning {train.__name__}() on {args.num_devices} CPU slots for {args.deadline:g} s.")

    backend = ElasticPythonBackend(
        train, CONFIG_SPACE, num_devices=args.num_devices, device_type="cpu", processes="single"
    )
    scheduler = HyperSched(
        CONFIG_SPACE,
        metric="val_loss",
        time_attr="epoch",
        max_t=MAX_EPOCHS,
        num_devices=args.num_devices,
        deadline_s=args.deadline,
        strategy="adaptive",
        random_seed=args.seed,
    )
    tuner = Tuner(
        trial_backend=backend,
        scheduler=scheduler,
        stop_criterion=Deadline(args.deadline, trial_backend=backend),
        n_workers=args.num_devices,
        sleep_time=0.02,
        tuner_name="python-function",
        callbacks=[StoreResultsCallback(), LiveProgress()],
        output_logger=QuietTunerLogger(),
    )
    tuner.run()

    print()
    print(report_run(tuner.tuner_path))


if __name__ == "__main__":
    main()
