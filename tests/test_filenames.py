from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import syne_hypersched
from syne_hypersched.filenames import (
    RANK_LOG,
    SEGMENT,
    STDERR_FILENAME,
    STDOUT_FILENAME,
    rank_log_name,
    segment_name,
)

#: A string that is the name of a file; and the end of that of a segment.
FILE_NAME = re.compile(r"\.jsonl|.+\.(json|jsonl|csv|txt|png|html|dill|log|pt|out|err|zip|parquet)", re.ASCII)
#: The end of such a string in a source.
IN_QUOTES = re.compile(r"\.(jsonl?|csv|txt|png|html|dill|log|pt|out|err|zip|parquet)[\"'{]")


@pytest.mark.parametrize(
    ("name", "rank", "log"),
    [
        (STDOUT_FILENAME, 0, "std.out"), (STDOUT_FILENAME, 1, "std.rank1.out"), (STDERR_FILENAME, 12, "std.rank12.err"),
        ("a.b.log", 2, "a.b.rank2.log"),
    ],
)  # fmt: skip
def test_each_rank_has_a_log_of_its_own(name, rank, log):
    assert rank_log_name(name, rank) == log


def test_the_logs_of_all_ranks_are_known():
    for rank in (0, 1, 10):
        for name in (STDOUT_FILENAME, STDERR_FILENAME):
            assert RANK_LOG.fullmatch(rank_log_name(name, rank))
    for other in ("std.log", "std.rank.out", "std.rank1.log", "mystd.out", "std_out", "std.out.gz", "std.rankx.err"):
        assert not RANK_LOG.fullmatch(other), other


def test_segments_are_named_by_their_number():
    for number in (0, 12, 999999):
        found = SEGMENT.fullmatch(segment_name(number))
        assert found is not None
        assert int(found[1]) == number
    for other in ("0.jsonl", "000000.jsonl.new", "events.jsonl", "snapshot"):
        assert not SEGMENT.fullmatch(other), other


def spelt_in(path: Path) -> set[str]:
    """The names of files that are strings of a module, its docstrings aside."""
    source = path.read_text(encoding="utf-8")
    if not IN_QUOTES.search(source):  # which takes much less time
        return set()
    strings = {
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {text for text in strings if FILE_NAME.fullmatch(text) and not re.search(r"\s", text)}


def test_each_name_is_spelt_in_one_module():
    root = Path(syne_hypersched.__file__).parent
    spelt: dict[str, list[str]] = {}
    for path in sorted(root.rglob("*.py")):
        for name in spelt_in(path):
            spelt.setdefault(name, []).append(str(path.relative_to(root)))
    assert {name: modules for name, modules in spelt.items() if len(modules) > 1} == {}
    assert spelt["events.jsonl"] == spelt[".jsonl"] == ["filenames.py"]
