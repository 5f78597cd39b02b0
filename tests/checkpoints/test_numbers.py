"""Numbers in the names of files."""

from __future__ import annotations

import pytest

from syne_hypersched.checkpoints._numbers import has_name, is_missing_part, lacks_parts


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], False),
        (["model.bin"], False),
        (["model-1-of-1.bin"], False),
        (["model-1-of-3.bin"], True),
        (["model_1_of_2.bin", "model_2_of_2.bin"], False),
        (["model-1-of-3.bin", "model-1-of-3.bin", "model-2-of-3.bin"], True),
        (["model-1-of-3.bin", "model-2-of-3.bin", "model-3-of-3.bin", "index"], False),
        (["model-1-of-2.bin", "optimizer-2-of-2.bin"], True),
        (["step-1/model-1-of-2", "step-2/model-2-of-2"], True),
        (["epoch-1-of-27.pt"], False),
        (["epoch-1/model-1-of-27.pt"], True),
    ],
)
def test_names_say_how_many_parts_there_are(paths, expected):
    assert lacks_parts(paths) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("model-2-of-3.bin", True),
        ("model-1-of-3.bin", False),  # written again
        ("model-2-of-4.bin", False),
        ("other-2-of-3.bin", False),
        ("index", False),
    ],
)
def test_another_part_of_the_same_whole(path, expected):
    assert is_missing_part(path, ["model-1-of-3.bin", "note"]) == expected


@pytest.mark.parametrize(
    ("path", "expected"), [("step-3", True), ("step-2/model", True), ("step", False), ("step-1/state", False)]
)
def test_a_name_is_known_without_its_numbers(path, expected):
    assert has_name(path, ["step-1/model", "stepwise"]) is expected
