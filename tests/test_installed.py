"""Tests of libraries that are not installed are skipped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.installed import needs, skip_without

ROOT = Path(__file__).parents[1]


def test_a_test_file_is_skipped() -> None:
    skip_without("json", "pytest")
    with pytest.raises(pytest.skip.Exception, match="no_such_library is not installed"):
        skip_without("json", "no_such_library")


def test_a_mark_skips_and_others_may_import_from_the_file() -> None:
    assert needs("json").args == (False,)
    mark = needs("json", "no_such_library")
    assert (mark.args, mark.kwargs["reason"]) == ((True,), "no_such_library is not installed")


def test_no_test_imports_from_a_file_that_is_skipped_as_a_whole() -> None:
    """The import would find half of the module, and fail where the library is missing."""
    texts = {path.relative_to(ROOT): path.read_text() for path in (ROOT / "tests").rglob("*.py")}
    skipped = {".".join(path.with_suffix("").parts) for path, text in texts.items() if "\nskip_without(" in text}
    assert skipped
    for path, text in texts.items():
        assert not skipped & set(re.findall(r"^from (tests\.\S+) import", text, re.MULTILINE)), path
