"""What the end of a log says."""

from __future__ import annotations

import pytest

from syne_hypersched.check._log import error_line, last_lines


def test_the_last_lines_of_a_log(tmp_path):
    log = tmp_path / "std.err"
    assert last_lines(str(log)) == []
    log.write_text("")
    assert last_lines(str(log)) == []
    log.write_bytes(b"x" * 30_000 + b"\nTraceback\n  KeyError: \xff 'lr' \n\n  \n")
    assert last_lines(str(log))[1:] == ["Traceback", "  KeyError: \N{REPLACEMENT CHARACTER} 'lr'"]


BEGIN = ["Traceback (most recent call last):", '  File "train.py", line 3, in <module>', "    load()"]
ERROR = ["RuntimeError: Error(s) in loading state_dict for Net:", '\tMissing key(s): "weight".', "  and more"]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([], ""),
        (["a warning", "  no such data set"], "no such data set"),
        (["a warning", *BEGIN, *ERROR], ERROR[0]),
        ([*BEGIN, "KeyError: 1", "During handling of", *BEGIN, *ERROR, "leaked semaphores"], ERROR[0]),
        ([f"[rank1]: {line}" for line in (*BEGIN, *ERROR)], f"[rank1]: {ERROR[0]}"),
        (BEGIN, "load()"),
    ],
)
def test_the_line_that_says_what_went_wrong(lines, found):
    assert error_line(lines) == found
