"""What a tuner has stored about its scheduler, also where it died before all was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from syne_hypersched._metadata import read_metadata, scheduler_arguments


@pytest.mark.parametrize("text", [None, "", "[1]", '{"metric_names": ["lo', "\x00" * 9, "[" * 10**5])
def test_what_is_not_whole_is_empty(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "metadata.json").write_text(text)
    assert read_metadata(tmp_path) == {}


@pytest.mark.parametrize(
    ("stored", "arguments"),
    [
        ({"scheduler_kwargs": {"random_seed": 3}}, {"random_seed": 3}),
        ({"scheduler_kwargs": None}, {}),
        ({"scheduler_kwargs": "random_seed"}, {}),
        ({}, {}),
    ],
)
def test_arguments_are_those_that_were_stored(
    tmp_path: Path, stored: dict[str, Any], arguments: dict[str, Any]
) -> None:
    (tmp_path / "metadata.json").write_text(json.dumps(stored))
    assert scheduler_arguments(read_metadata(tmp_path)) == arguments
