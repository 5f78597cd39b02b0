"""A linear classifier on random Fourier features of scikit-learn's handwritten digits, trained by ``partial_fit``.

Run it alone (``python sklearn_partial_fit.py --epochs 3``), or as a trial of Syne Tune. More devices mean more threads:
the ten classifiers, one against the rest for each digit, are trained in parallel on ``OMP_NUM_THREADS`` cores. The
features and the validation are not parallel, so the speed-up is modest. Every random number depends only on the seed
and the epoch. So a run may continue from its checkpoint on another number of cores, and the training is the same except
for the rounding of matrix products.

A checkpoint is one file of NumPy arrays and JSON, without pickles. It is written before the report of the epoch, and a
SIGTERM between the two waits for the report. So every finished epoch is reported, and a run can continue from every
report.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from syne_tune import Reporter

NUM_CLASSES = 10
NOISE_STD = 0.25


def load_data(val_share: float = 0.25) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Images (n, 64) in [0, 1] and labels (n,) for training, and those for validation."""
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16.0, labels, test_size=val_share, random_state=0, stratify=labels)
    train_x, val_x, train_y, val_y = parts
    return (train_x, train_y), (val_x, val_y)


def with_noise(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return images + NOISE_STD * generator.standard_normal(images.shape)


def make_model(args: argparse.Namespace, num_threads: int) -> SGDClassifier:
    """A classifier whose only state is its weights and the number of steps taken."""
    return SGDClassifier(
        loss="log_loss",
        alpha=args.alpha,
        learning_rate="invscaling",
        eta0=args.learning_rate,
        power_t=args.power_t,
        shuffle=False,  # The order comes from a generator for this epoch, which need not be in the checkpoint.
        random_state=args.seed,
        n_jobs=num_threads,
    )


def train_epoch(model: SGDClassifier, features: np.ndarray, labels: np.ndarray, order: np.ndarray) -> None:
    """One pass over the rows of ``features`` (n, num_features) in the order given."""
    model.partial_fit(features[order], labels[order], classes=np.arange(NUM_CLASSES))


def save_checkpoint(path: Path, model: SGDClassifier, epoch: int) -> None:
    """Writes a temporary file and renames it, so that ``path`` is always a complete checkpoint (old or new)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".tmp")
    state = json.dumps({"epoch": epoch, "num_steps": model.t_})
    with aside.open("wb") as file:
        np.savez(file, weights=model.coef_, biases=model.intercept_, state=np.array(state))
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def load_checkpoint(path: Path, model: SGDClassifier) -> int:
    """Restores the state of the model, and returns the number of finished epochs."""
    with np.load(path, allow_pickle=False) as arrays:
        state = json.loads(str(arrays["state"]))
        model.coef_, model.intercept_ = arrays["weights"], arrays["biases"]
    model.classes_, model.t_ = np.arange(NUM_CLASSES), state["num_steps"]
    return state["epoch"]


@contextlib.contextmanager
def sigterm_deferred() -> Iterator[None]:
    """Lets a SIGTERM that arrives inside the block take effect at its end; elsewhere it ends the process at once."""
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda signum, frame: received.append(signum))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if received:
            os.kill(os.getpid(), signal.SIGTERM)


def train(args: argparse.Namespace, num_threads: int) -> None:
    (train_x, train_y), (val_x, val_y) = load_data()
    sampler = RBFSampler(gamma=args.gamma, n_components=args.num_features, random_state=args.seed).fit(train_x)
    # Every trial is measured on the same noisy images.
    val_features = sampler.transform(with_noise(val_x, np.random.default_rng(0)))
    copies_x, copies_y = np.tile(train_x, (args.copies, 1)), np.tile(train_y, args.copies)

    model = make_model(args, num_threads)
    checkpoint_path = Path(args.st_checkpoint_dir) / "checkpoint.npz" if args.st_checkpoint_dir else None
    epochs_done = 0
    if checkpoint_path is not None and checkpoint_path.exists():
        epochs_done = load_checkpoint(checkpoint_path, model)

    report = Reporter()
    for epoch in range(epochs_done + 1, args.epochs + 1):
        generator = np.random.default_rng((args.seed, epoch))
        features = sampler.transform(with_noise(copies_x, generator))
        train_epoch(model, features, copies_y, generator.permutation(len(copies_y)))
        val_accuracy = model.score(val_features, val_y)
        val_loss = log_loss(val_y, model.predict_proba(val_features))
        with sigterm_deferred():
            if checkpoint_path is not None:
                save_checkpoint(checkpoint_path, model, epoch)
            report(epoch=epoch, val_accuracy=val_accuracy, val_loss=val_loss)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--learning_rate", type=float, default=0.1, help="of the first step")
    parser.add_argument(
        "--power_t", type=float, default=0.2, help="the learning rate falls with this power of the number of steps"
    )
    parser.add_argument("--alpha", type=float, default=1e-6, help="L2 regularisation")
    parser.add_argument("--gamma", type=float, default=0.05, help="inverse squared width of the kernel")
    parser.add_argument("--num_features", type=int, default=500, help="random Fourier features")
    parser.add_argument("--copies", type=int, default=3, help="noisy copies of each image per epoch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--st_checkpoint_dir", help="where the checkpoint is written to and resumed from")
    return parser.parse_args()


if __name__ == "__main__":
    train(parse_args(), num_threads=int(os.environ.get("OMP_NUM_THREADS", 1)))
