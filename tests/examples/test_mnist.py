from __future__ import annotations

import gzip
import os
import re
import struct
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples._scripts import Scripts, launch, load_script, run_alone
from tests.thoroughness import examples

torch = pytest.importorskip("torch")

DATA = Path(os.environ.get("SYNE_HYPERSCHED_DATA", Path(__file__).parents[3] / "shared" / "data")) / "mnist"
SMALL = ("--width", "4", "--batch_size", "25", "--dropout", "0.2", "--learning_rate", "0.05")


@pytest.fixture(scope="module")
def mnist() -> ModuleType:
    return load_script("mnist")


@pytest.fixture(scope="module")
def idx() -> ModuleType:
    return load_script("_idx")


def encode(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def write_data(folder: Path, num_images: int, part: str = "train", size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a bright patch in the corner of its label; the images are compressed, the labels are not."""
    generator = np.random.default_rng(len(part))
    images = generator.integers(0, 200, (num_images, size, size), dtype=np.uint8)
    labels = generator.integers(0, 4, num_images, dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[row * size // 2 :, column * size // 2 :][: size // 2, : size // 2] += 25
    (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(encode(images)))
    (folder / f"{part}-labels-idx1-ubyte").write_bytes(encode(labels))
    return images, labels


@settings(max_examples=examples(30), deadline=None)
@given(shape=st.lists(st.integers(0, 5), min_size=1, max_size=4), compress=st.booleans(), seed=st.integers(0, 9))
def test_what_is_written_is_read(
    idx: ModuleType, tmp_path_factory: pytest.TempPathFactory, shape: list[int], compress: bool, seed: int
) -> None:
    values = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path_factory.mktemp("idx") / "values"
    content = encode(values)
    path.with_name("values.gz" if compress else "values").write_bytes(gzip.compress(content) if compress else content)
    np.testing.assert_array_equal(idx.read_idx(path), values)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "must begin with the bytes 00 00 08 of an IDX file, but begins with b''"),
        (b"\x89PNG\r\n", "must begin with the bytes 00 00 08 of an IDX file"),
        (bytes([0, 0, 0x0D, 1, 0, 0, 0, 0]), "must begin with the bytes 00 00 08 of an IDX file"),
        (bytes([0, 0, 8, 0]), "must have a header with the lengths of its dimensions"),
        (bytes([0, 0, 8, 3, 0, 0, 0, 1]), "must have a header with the lengths of its dimensions"),
        (encode(np.zeros((2, 3), np.uint8))[:-1], r"must have 18 bytes, for shape \(2, 3\), but has 17"),
        (encode(np.zeros((2, 3), np.uint8)) + b"x", r"must have 18 bytes, for shape \(2, 3\), but has 19"),
        (gzip.compress(encode(np.zeros((9, 9), np.uint8)), mtime=0)[:-12], "must be a whole gzip file"),
    ],
)
def test_broken_file_is_named_with_what_is_wrong(idx: ModuleType, tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"broken-idx3-ubyte {message}"):
        idx.read_idx(path)


def test_images_and_labels_must_match(idx: ModuleType, tmp_path: Path) -> None:
    write_data(tmp_path, 6)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(encode(np.zeros(5, np.uint8)))
    with pytest.raises(ValueError, match=r"as many labels \(n,\), but their shapes are \(6, 16, 16\) and \(5,\)"):
        idx.read_images_and_labels(tmp_path, "train")


def test_the_last_sixth_is_held_out(mnist: ModuleType, tmp_path: Path) -> None:
    images, labels = write_data(tmp_path, 60)
    test_images, _ = write_data(tmp_path, 7, part="t10k")
    train_data, val_data = mnist.load_data(tmp_path, "held_out", num_train=20)
    np.testing.assert_array_equal(train_data.tensors[0][:, 0], images[:20])
    np.testing.assert_array_equal(train_data.tensors[1], labels[:20])
    np.testing.assert_array_equal(val_data.tensors[0][:, 0], images[50:])
    np.testing.assert_array_equal(val_data.tensors[1], labels[50:])
    train_data, val_data = mnist.load_data(tmp_path, "test", num_val=5)
    assert len(train_data) == 60
    np.testing.assert_array_equal(val_data.tensors[0][:, 0], test_images[:5])


@pytest.mark.parametrize("name, number, most", [("num_train", 51, 50), ("num_train", 0, 50), ("num_val", 11, 10)])
def test_more_images_than_there_are_are_refused(
    mnist: ModuleType, tmp_path: Path, name: str, number: int, most: int
) -> None:
    write_data(tmp_path, 60)
    with pytest.raises(
        ValueError, match=f"{name} must be from 1 to {most}, the images that there are, but got {number}"
    ):
        mnist.load_data(tmp_path, "held_out", **{name: number})


@pytest.mark.parametrize("shape", [(28, 28), (16, 20), (12, 12)])
def test_network_takes_images_of_any_size(mnist: ModuleType, shape: tuple[int, int]) -> None:
    network = mnist.LeNet(shape, num_classes=7, width=2, dropout=0.5)
    assert network(torch.zeros(3, 1, *shape, dtype=torch.uint8)).shape == (3, 7)


def test_network_refuses_images_that_are_too_small(mnist: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"image_shape must be at least 12 by 12, but got \(28, 11\)"):
        mnist.LeNet((28, 11), num_classes=7, width=2, dropout=0.5)


@pytest.mark.slow  # test_transformer_lm.py does the same
def test_resized_in_the_middle_of_training_it_goes_on_as_if_nothing_had_happened(
    scripts: Scripts, tmp_path: Path
) -> None:
    write_data(tmp_path, 360)
    arguments = (*SMALL, "--data_dir", str(tmp_path), "--epochs")
    checkpoint = ("--st_checkpoint_dir", str(tmp_path / "a folder"))
    first = scripts.start("mnist", *arguments, "100000", *checkpoint).interrupt_after(1)
    last = max(first) + 2
    whole = scripts.start("mnist", *arguments, str(last))
    rest = scripts.start("mnist", *arguments, str(last), *checkpoint, num_ranks=2).finish()
    expected = whole.finish()
    assert [*first, *rest] == list(expected) == list(range(1, last + 1))
    for epoch, values in (first | rest).items():
        assert values == pytest.approx(expected[epoch], rel=1e-4)


@pytest.mark.slow
def test_is_tuned_with_a_batch_that_may_grow(tmp_path: Path) -> None:
    write_data(tmp_path, 600)
    arguments = ["--data-dir", str(tmp_path), "--num-train", "400", "--num-val", "100"]
    arguments += ["--batch-mode", "goodput", "--policy", "goodput", "--num-devices", "2", "--deadline", "10"]
    run = launch("launch_mnist", *arguments, output=tmp_path)
    assert run.path is not None
    results = pd.read_csv(run.path / "results.csv.zip")
    assert (results["batch_size"] <= results["max_batch_size"]).all()
    assert set(results["max_batch_size"]) == {1024}


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no MNIST in {DATA}")
@pytest.mark.slow
def test_learns_the_real_digits_alone(idx: ModuleType) -> None:
    images, labels = idx.read_images_and_labels(DATA, "train")
    assert images.shape == (60_000, 28, 28)
    assert np.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    arguments = ["--num_train", "2000", "--num_val", "2000", "--learning_rate", "0.05", "--epochs", "1"]
    done = run_alone("mnist", "--data_dir", str(DATA), *arguments)
    assert done.returncode == 0, done.stderr
    (accuracy,) = re.findall(r'"val_accuracy": ([\d.]+)', done.stdout)
    assert float(accuracy) > 0.6


def test_missing_file_is_named_with_both_of_its_names(mnist: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"neither .*/train-images-idx3-ubyte nor train-images-idx3-ubyte\.gz"):
        mnist.load_data(tmp_path, "held_out")
