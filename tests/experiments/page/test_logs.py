from __future__ import annotations

from pathlib import Path

import pytest

from syne_hypersched.experiments.page._logs import last_lines


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_the_log_that_is_named_or_else_the_standard_error(tmp_path):
    write(tmp_path / "3/std.err", "own\n")
    log = write(tmp_path / "3/std.rank1.err", "other rank\n")
    assert last_lines(tmp_path, 3, None) == ["own"]
    assert last_lines(tmp_path, 3, str(log)) == ["other rank"]
    assert last_lines(tmp_path, 3, str(tmp_path / "3/none.err")) == ["own"]
    assert last_lines(tmp_path, 3, "/moved/since/3/std.rank1.err") == ["other rank"], "found by its name"
    assert last_lines(tmp_path, 4, None) == []


def test_what_is_no_text_is_left_out(tmp_path):
    write(tmp_path / "0/std.err", b"\x1b[31mred\x1b[0m and \x1b]0;title\x07plain \xff\x00  \r\n\n 10%\r100%\n\ttab\n")
    assert last_lines(tmp_path, 0, None) == ["red and plain \ufffd", " 10%", "100%", "\ttab"]


@pytest.mark.parametrize("name", ["secret", "../secret", "2/link"])
def test_no_file_outside_the_folder_is_read(tmp_path, name):
    (tmp_path / "secret").write_text("a password\n")
    run = tmp_path / "run"
    (run / "2").mkdir(parents=True)
    (run / "2" / "link").symlink_to(tmp_path / "secret")
    assert last_lines(run, 2, str(run / name) if name != "secret" else str(tmp_path / name)) == []


def test_the_last_lines_of_a_long_log_are_few(tmp_path):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "std.err").write_text("\n".join(f"line {index} " + "x" * 1000 for index in range(1000)))
    lines = last_lines(tmp_path, 0, None)
    assert lines[-1].startswith("line 999 ")
    assert len(lines) <= 15
    assert max(map(len, lines)) <= 300


def test_the_last_lines_are_whole_and_in_order(tmp_path):
    write(tmp_path / "0/std.err", "".join(f"line {index}\n" for index in range(40)))
    assert last_lines(tmp_path, 0, None) == [f"line {index}" for index in range(25, 40)]
