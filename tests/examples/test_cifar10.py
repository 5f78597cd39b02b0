from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.examples._scripts import Scripts, launch, load_script

torch = pytest.importorskip("torch")
pytest.importorskip("PIL", reason="no torchvision")

SMALL = ("--network", "shufflenet_v2_x0_5", "--batch_size", "24", "--learning_rate", "0.01")
# Rounding of single precision is amplified by training, to a percent within these few steps.
EXACT = ("--norm", "group", "--precision", "double")


@pytest.fixture(scope="module")
def cifar10() -> ModuleType:
    return load_script("cifar10")


@pytest.fixture(scope="module")
def batches() -> ModuleType:
    return load_script("_cifar10")


def python2_batch(images: np.ndarray, labels: list[int]) -> bytes:
    """A batch as pickled by ``cPickle`` of Python 2 with protocol 2, as in the archive of CIFAR-10."""

    def text(value: bytes) -> bytes:
        if len(value) < 256:
            return pickle.SHORT_BINSTRING + bytes([len(value)]) + value
        return pickle.BINSTRING + struct.pack("<i", len(value)) + value

    def integer(value: int) -> bytes:
        return pickle.BININT + struct.pack("<i", value)

    array = pickle.GLOBAL + b"numpy.core.multiarray\n_reconstruct\n" + pickle.GLOBAL + b"numpy\nndarray\n"
    array += integer(0) + pickle.TUPLE1 + text(b"b") + pickle.TUPLE3 + pickle.REDUCE
    byte_type = (
        pickle.GLOBAL + b"numpy\ndtype\n" + text(b"u1") + integer(0) + integer(1) + pickle.TUPLE3 + pickle.REDUCE
    )
    byte_type += pickle.MARK + integer(3) + text(b"|") + 3 * pickle.NONE + integer(-1) + integer(-1) + integer(0)
    byte_type += pickle.TUPLE + pickle.BUILD
    shape = integer(len(images)) + integer(images[0].size) + pickle.TUPLE2
    array += pickle.MARK + integer(1) + shape + byte_type + pickle.NEWFALSE + text(images.tobytes())
    array += pickle.TUPLE + pickle.BUILD
    numbers = pickle.EMPTY_LIST + pickle.MARK + b"".join(map(integer, labels)) + pickle.APPENDS
    items = text(b"batch_label") + text(b"a batch") + text(b"labels") + numbers + text(b"data") + array
    return pickle.PROTO + bytes([2]) + pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS + pickle.STOP


def make_images(num_images: int, seed: int) -> tuple[np.ndarray, list[int]]:
    """Noise that is brighter in the colour of its label."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, num_images)
    images = generator.integers(0, 200, (num_images, 3, 32, 32), dtype=np.uint8)
    images[np.arange(num_images), labels] += 50
    return images, labels.tolist()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for seed, name in enumerate([*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]):
        (folder / name).write_bytes(python2_batch(*make_images(24, seed)))
    return tmp_path


def test_batches_of_python_2_and_3_are_read(batches: ModuleType, tmp_path: Path) -> None:
    images, labels = make_images(5, seed=0)
    (tmp_path / "old").write_bytes(python2_batch(images, labels))
    (tmp_path / "new").write_bytes(pickle.dumps({"data": images.reshape(5, -1), "labels": labels}, protocol=3))
    for name in ("old", "new"):
        read_images, read_labels = batches.read_batch(tmp_path / name)
        np.testing.assert_array_equal(read_images, images)
        assert read_labels.tolist() == labels
    read_images, _ = batches.read_batches(tmp_path, ("old", "new"))
    assert read_images.shape == (10, 3, 32, 32)


def test_pickles_run_no_code(batches: ModuleType, tmp_path: Path) -> None:
    path, done = tmp_path / "data_batch_1", tmp_path / "done"

    class Evil:
        def __reduce__(self) -> object:
            return os.mkdir, (str(done),)

    path.write_bytes(pickle.dumps({"data": Evil(), "labels": []}))
    with pytest.raises(ValueError, match=r"data_batch_1 must be a pickle .*, but: it asks for posix\.mkdir"):
        batches.read_batch(path)
    assert not done.exists()
    pickle.loads(path.read_bytes())
    assert done.exists(), "the pickle would not have done anything anyway"


IMAGE = np.zeros((1, 3072), np.uint8)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "must be a pickle"),
        (b"PNG", "must be a pickle"),
        (pickle.dumps([1]), "must have 'data', .* but has NoneType"),
        (pickle.dumps({"data": IMAGE[:, :3000], "labels": [0]}, 3), r"but has an array of uint8 of shape \(1, 3000\)"),
        (
            pickle.dumps({"data": IMAGE.astype("f4"), "labels": [0]}, 3),
            "must be a pickle .*, but: it has an array of 'f4'",
        ),
        (pickle.dumps({"data": IMAGE, "fine_labels": [0]}, 3), "must have 'labels', .* but has NoneType"),
        (pickle.dumps({"data": IMAGE, "labels": [0, 1]}, 3), "a list of 1 integers from 0 to 9, but has a list of 2"),
        (pickle.dumps({"data": IMAGE, "labels": [10]}, 3), "a list of 1 integers from 0 to 9"),
    ],
)
def test_broken_batch_is_named_with_what_is_wrong(
    batches: ModuleType, tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "data_batch_2"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"data_batch_2 .*{message}"):
        batches.read_batch(path)


def test_the_fifth_batch_is_held_out_unless_the_test_batch_is_asked_for(cifar10: ModuleType, data_dir: Path) -> None:
    train_data, val_data = cifar10.load_data(data_dir, "held_out")
    assert len(train_data) == 4 * 24
    np.testing.assert_array_equal(val_data.images, make_images(24, seed=4)[0])
    train_data, val_data = cifar10.load_data(data_dir, "test")
    assert len(train_data) == 5 * 24
    assert val_data.labels == make_images(24, seed=5)[1]
    image, label = val_data[3]
    pixel = (make_images(24, seed=5)[0][3, 1, 2, 4] / 255 - cifar10.MEAN[1]) / cifar10.STD[1]
    assert float(image[1, 2, 4]) == pytest.approx(pixel, rel=1e-5)
    assert label == val_data.labels[3]


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "shufflenet_v2_x0_5"])
def test_networks_keep_the_resolution_that_small_images_need(cifar10: ModuleType, name: str) -> None:
    network = cifar10.make_network(name).eval()
    sizes = []
    last = network.layer4 if name.startswith("resnet") else network.conv5
    last.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[-1]))
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    assert sizes == [4]


@pytest.mark.parametrize("norm, kind", [("batch", torch.nn.BatchNorm2d), ("group", torch.nn.GroupNorm)])
def test_one_kind_of_normalisation_is_left(cifar10: ModuleType, norm: str, kind: type[torch.nn.Module]) -> None:
    network = cifar10.adapt_network(cifar10.make_network("shufflenet_v2_x0_5"), norm, torch.device("cpu"), 2).eval()
    kinds = {type(module) for module in network.modules()}
    assert {torch.nn.BatchNorm2d, torch.nn.GroupNorm} & kinds == {kind}
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_several_gpus_share_their_statistics_in_the_same_checkpoint(cifar10: ModuleType) -> None:
    alone = cifar10.make_network("resnet18")
    together = cifar10.adapt_network(cifar10.make_network("resnet18"), "batch", torch.device("cuda"), 2)
    kinds = [type(module) for module in together.modules()]
    assert torch.nn.BatchNorm2d not in kinds
    assert torch.nn.SyncBatchNorm in kinds
    together.load_state_dict(alone.state_dict())


@pytest.mark.slow
def test_resized_in_the_middle_of_training_it_goes_on_as_if_nothing_had_happened(
    scripts: Scripts, data_dir: Path, tmp_path: Path
) -> None:
    arguments = (*SMALL, *EXACT, "--data_dir", str(data_dir), "--ema_decay", "0.8", "--epochs", "4")
    checkpoint = ("--st_checkpoint_dir", str(tmp_path / "checkpoints"))
    first = scripts.start("cifar10", *arguments, *checkpoint).interrupt_after(1)
    whole = scripts.start("cifar10", *arguments)
    rest = scripts.start("cifar10", *arguments, *checkpoint, "--num_workers", "1", num_ranks=2).finish()
    expected = whole.finish()
    assert [*first, *rest] == list(expected) == [1, 2, 3, 4]
    assert rest
    for epoch, values in (first | rest).items():
        assert values == pytest.approx(expected[epoch], rel=1e-6)


@pytest.mark.slow
def test_is_tuned_on_noise(tmp_path: Path) -> None:
    arguments = ["--fake-data", "40", "--network", "shufflenet_v2_x0_5", "--num-devices", "2", "--deadline", "14"]
    run = launch("launch_cifar10", *arguments, output=tmp_path)
    assert len({report.trial_id for report in run.reports}) >= 2
