"""Files of JSON that may be missing or half written."""

from __future__ import annotations

import pytest

from syne_hypersched._json_files import read_object


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
