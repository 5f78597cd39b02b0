"""Reads the Python version of CIFAR-10 (``cifar-10-python.tar.gz``, unpacked) without trusting its pickles.

Unpickling a file may execute any code, also with torchvision's own reader. The batches contain only NumPy arrays, so
this module accepts nothing else.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = "cifar-10-batches-py"
TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_BATCH = "test_batch"
NUM_CLASSES = 10
IMAGE_SHAPE = (3, 32, 32)


def _byte_type(code: str, *options: Any) -> np.dtype[Any]:
    if code != "u1":
        raise pickle.UnpicklingError(f"it has an array of {code!r}")
    # NumPy warns that options from Python 2 are numbers. They do not matter for bytes.
    return np.dtype("u1")


_reconstruct = np.empty(0).__reduce__()[0]
_PERMITTED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _byte_type,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Can create arrays of bytes, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _PERMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _PERMITTED[module, name]


def read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads one batch.

    Returns
    -------
    tuple of numpy.ndarray
        Images as bytes, of shape (n, 3, 32, 32), and labels from 0 to 9, of shape (n,).

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is not a batch of CIFAR-10.
    """
    with path.open("rb") as file:
        try:
            # Strings from Python 2 are bytes, also those of the array.
            batch = _ArrayUnpickler(file, encoding="latin1").load()
        # Broken pickles raise almost any error.
        except Exception as error:
            raise ValueError(f"{path} must be a pickle of plain values and arrays of bytes, but: {error}") from error
    images = batch.get("data") if isinstance(batch, dict) else None
    labels = batch.get("labels") if isinstance(batch, dict) else None
    size = int(np.prod(IMAGE_SHAPE))
    if not isinstance(images, np.ndarray) or images.ndim != 2 or images.shape[1] != size or images.dtype != np.uint8:
        raise ValueError(
            f"{path} must have 'data', an array of bytes of shape (n, {size}), but has {_describe(images)}"
        )
    if (
        not isinstance(labels, list)
        or len(labels) != len(images)
        or not all(isinstance(label, int) and 0 <= label < NUM_CLASSES for label in labels)
    ):
        raise ValueError(
            f"{path} must have 'labels', a list of {len(images)} integers from 0 to 9, but has {_describe(labels)}"
        )
    return images.reshape(-1, *IMAGE_SHAPE), np.array(labels, dtype=np.int64)


def read_batches(data_dir: Path, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Reads batches by name, one after the other, from ``data_dir`` or from the folder of the archive in it."""
    folder = data_dir / FOLDER
    if not folder.is_dir():
        folder = data_dir
    images, labels = zip(*(read_batch(folder / name) for name in names), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} of shape {value.shape}"
    return f"a list of {len(value)}" if isinstance(value, list) else type(value).__name__
