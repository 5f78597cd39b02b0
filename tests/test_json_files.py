"""Files of JSON that may be missing or half written, and configurations of any values."""

from __future__ import annotations

import enum
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from syne_hypersched._json_files import read_object, write_config


def test_an_object_is_read(tmp_path):
    (tmp_path / "file").write_text('{"name": "Grüße", "level": 3}', encoding="utf-8")
    assert read_object(tmp_path / "file") == {"name": "Grüße", "level": 3}


@pytest.mark.parametrize("content", [b"", b'{"name": "lo', b"[1, 2]", b"null", b'{"name": "\xff"}', b"[" * 100_000])
def test_anything_else_is_none(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    assert read_object(tmp_path / "file") is None


def test_a_missing_file_is_none(tmp_path):
    assert read_object(tmp_path / "missing") is None
    assert read_object(tmp_path) is None


class Colour(enum.Enum):
    RED = 1


def test_a_configuration_has_what_the_script_would_be_given_as_arguments(tmp_path):
    config = {
        "x": 0.5, "layers": (64, 32), "folder": Path("/data"), "share": Decimal("0.5"), "array": np.array([1, 2]),
        "rate": np.float64(0.25), "scalar": np.array(3.0), "colour": Colour.RED, "none": None, "name": "Grüße",
    }  # fmt: skip
    write_config(tmp_path / "config.json", config)
    assert read_object(tmp_path / "config.json") == {
        "x": 0.5, "layers": [64, 32], "folder": "/data", "share": "0.5", "array": [1, 2],
        "rate": 0.25, "scalar": 3.0, "colour": "Colour.RED", "none": None, "name": "Grüße",
    }  # fmt: skip
