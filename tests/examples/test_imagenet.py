from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.examples._scripts import Scripts, launch, load_script

torch = pytest.importorskip("torch")
image_module = pytest.importorskip("PIL.Image", reason="no torchvision")

CLASSES = ("cat", "dog", "eel")
NUM_TRAIN, NUM_VAL = 14, 5
"""Images of each class."""


@pytest.fixture(scope="module")
def imagenet() -> ModuleType:
    return load_script("imagenet")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of noise, each brighter in the colour of its class."""
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    for part, num_images in (("train", NUM_TRAIN), ("val", NUM_VAL)):
        for colour, name in enumerate(CLASSES):
            (folder / part / name).mkdir(parents=True)
            for number in range(num_images):
                pixels = generator.integers(0, 150, (32, 36, 3), dtype=np.uint8)
                pixels[..., colour] += 100
                image_module.fromarray(pixels).save(folder / part / name / f"{number}.jpg")
    return folder


def test_data_is_as_the_folder_says(imagenet: ModuleType, data_dir: Path) -> None:
    train_data, val_data, num_classes = imagenet.load_data(data_dir, image_size=24, num_val=None)
    assert (len(train_data), len(val_data), num_classes) == (3 * NUM_TRAIN, 3 * NUM_VAL, 3)
    for data in (train_data, val_data):
        image, label = data[len(data) - 1]
        assert image.shape == (3, 24, 24)
        assert label == 2
        assert int(image.mean(dim=(1, 2)).argmax()) == 2
    assert torch.equal(val_data[0][0], val_data[0][0])
    assert not torch.equal(train_data[0][0], train_data[0][0])


@pytest.mark.parametrize("num_val, labels", [(3, [0, 1, 2]), (6, [0, 0, 1, 1, 2, 2]), (1, [0])])
def test_a_part_of_the_validation_has_all_classes(
    imagenet: ModuleType, data_dir: Path, num_val: int, labels: list[int]
) -> None:
    _, val_data, num_classes = imagenet.load_data(data_dir, 24, num_val)
    assert [label for _, label in val_data] == labels
    assert num_classes == 3


def test_bad_folders_and_numbers_are_refused(imagenet: ModuleType, data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_val must be from 1 to 15, the images in val, but got 16"):
        imagenet.load_data(data_dir, 24, num_val=16)
    (tmp_path / "val").symlink_to(data_dir / "val")
    with pytest.raises(FileNotFoundError, match="train"):
        imagenet.load_data(tmp_path, 24, num_val=None)
    (tmp_path / "train").mkdir()
    for name in CLASSES[:2]:
        (tmp_path / "train" / name).symlink_to(data_dir / "train" / name)
    with pytest.raises(ValueError, match=r"must have the same classes, but only one has \['eel'\]"):
        imagenet.load_data(tmp_path, 24, num_val=None)


@pytest.mark.parametrize("num_rounds, warmup_rounds", [(1, 0), (1, 1), (7, 0), (20, 5), (5, 5)])
def test_learning_rate_rises_to_the_users_and_falls(imagenet: ModuleType, num_rounds: int, warmup_rounds: int) -> None:
    factors = [imagenet.learning_rate_factor(done, num_rounds, warmup_rounds) for done in range(num_rounds)]
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[:warmup_rounds] == sorted(factors[:warmup_rounds])
    assert factors[warmup_rounds:] == sorted(factors[warmup_rounds:], reverse=True)
    if warmup_rounds < num_rounds:
        assert factors[warmup_rounds] == 1


def test_dropout_of_a_network_does_not_depend_on_the_devices(imagenet: ModuleType) -> None:
    network = imagenet.models.get_model("squeezenet1_1", weights=None, num_classes=3)
    adapted = imagenet.adapt_network(network, "batch", torch.device("cpu"), 2)
    masks = [module for module in adapted.modules() if "Dropout" in type(module).__name__]
    assert [(type(module).__name__, module.p) for module in masks] == [("BatchDropout", 0.5)]


@pytest.mark.slow
def test_resized_in_the_middle_of_an_epoch_it_goes_on_as_if_nothing_had_happened(
    scripts: Scripts, data_dir: Path, tmp_path: Path
) -> None:
    # A round is 28 of the 42 images, so that epochs end within rounds; two devices share 7 images.
    arguments = ["--data_dir", str(data_dir), "--num_steps", "4", "--num_rounds", "5", "--batch_size", "7"]
    arguments += ["--network", "squeezenet1_1", "--image_size", "32", "--precision", "double", "--num_workers", "1"]
    checkpoint = ["--st_checkpoint_dir", str(tmp_path), "--checkpoint_every_s", "0.05"]
    first = scripts.start("imagenet", *arguments, *checkpoint).interrupt_after(1)
    whole = scripts.start("imagenet", *arguments)
    rest = scripts.start("imagenet", *arguments, *checkpoint, num_ranks=2).finish()
    expected = whole.finish()
    assert [*first, *rest] == list(expected) == [1, 2, 3, 4, 5]
    assert rest
    for number, values in (first | rest).items():
        assert values == pytest.approx(expected[number], rel=1e-6)
    assert expected[5]["optimizer_steps"] == 5 * 4


@pytest.mark.slow
def test_is_tuned_by_rounds(data_dir: Path, tmp_path: Path) -> None:
    arguments = ["--data-dir", str(data_dir), "--network", "shufflenet_v2_x0_5", "--image-size", "64"]
    arguments += ["--num-steps", "2", "--num-rounds", "40", "--batch-size", "12", "--num-workers", "1"]
    run = launch("launch_imagenet", *arguments, "--num-devices", "2", "--deadline", "14", output=tmp_path)
    assert max(report.resource for report in run.reports) >= 2
