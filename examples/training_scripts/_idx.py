"""Reads IDX files, the format of MNIST and of its replacements, such as Fashion-MNIST.

An IDX file is two zero bytes, a byte for the type of its numbers, a byte for the number of dimensions, the length of
each dimension as a big-endian integer of four bytes, and the numbers in C order. Only unsigned bytes are read here.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

_UNSIGNED_BYTE = 0x08
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path) -> np.ndarray:
    """Reads one file, gzip-compressed or not, independently of its name.

    Parameters
    ----------
    path
        The file. If it does not exist, the same name with ``.gz`` at its end is tried.

    Returns
    -------
    numpy.ndarray
        An array of unsigned bytes, writable.

    Raises
    ------
    FileNotFoundError
        Neither file exists.
    ValueError
        The file is not an IDX file of unsigned bytes, or has fewer or more bytes than its header says.
    """
    compressed = path.with_name(path.name + ".gz")
    found = next((candidate for candidate in (path, compressed) if candidate.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"there is neither {path} nor {compressed.name} beside it")
    content = found.read_bytes()
    if content.startswith(_GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{found} must be a whole gzip file, but: {error}") from error
    if content[:3] != bytes([0, 0, _UNSIGNED_BYTE]) or len(content) < 4:
        raise ValueError(f"{found} must begin with the bytes 00 00 08 of an IDX file, but begins with {content[:4]!r}")
    num_dimensions = content[3]
    start = 4 + 4 * num_dimensions
    if num_dimensions == 0 or len(content) < start:
        raise ValueError(f"{found} must have a header with the lengths of its dimensions, but has {len(content)} bytes")
    shape = tuple(int(length) for length in np.frombuffer(content, ">u4", count=num_dimensions, offset=4))
    if len(content) != start + math.prod(shape):
        raise ValueError(
            f"{found} must have {start + math.prod(shape)} bytes, for shape {shape}, but has {len(content)}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def read_images_and_labels(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads the two files of ``part``, ``"train"`` or ``"t10k"``, under the names that the authors of MNIST gave them.

    Returns
    -------
    tuple of numpy.ndarray
        Images of shape (n, height, width) and labels of shape (n,), both unsigned bytes.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`read_idx`; or the files do not hold images and a label for each of them.
    """
    images_path, labels_path = folder / f"{part}-images-idx3-ubyte", folder / f"{part}-labels-idx1-ubyte"
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{images_path} must hold images (n, height, width), and {labels_path.name} as many labels (n,), but their "
            f"shapes are {images.shape} and {labels.shape}"
        )
    return images, labels
