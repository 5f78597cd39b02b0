"""What rank 0 has printed reaches the tuner, also if who sends it has died."""

from __future__ import annotations

import pytest

from syne_hypersched.backends.ray._rank_log import append_rest, end_line, left_behind, rank_log


def test_the_rest_is_appended_once(tmp_path):
    log = tmp_path / "std.out"
    log.write_text("before\n")
    printed = rank_log(tmp_path, 3, log)
    printed.write_text("one\ntwo\nthree\n")
    with open(log, "a") as file:
        file.write("one\ntw")  # what was sent
    assert left_behind(tmp_path) == [printed]
    assert append_rest(printed, log) == len("o\nthree\n")
    assert log.read_text() == "before\none\ntwo\nthree\n"
    assert append_rest(printed, log) == 0
    assert left_behind(tmp_path) == []


def test_the_first_launch_has_no_log_yet(tmp_path):
    log = tmp_path / "folder" / "std.out"
    log.parent.mkdir()
    printed = rank_log(tmp_path, 0, log)
    printed.write_text("one\n")
    assert append_rest(printed, log) == 4
    assert log.read_text() == "one\n"
    assert log.stat().st_mode & 0o077 == 0


def test_all_of_it_was_sent(tmp_path):
    log = tmp_path / "std.out"
    printed = rank_log(tmp_path, 0, log)
    printed.write_text("one\n")
    log.write_text("one\n")
    assert append_rest(printed, log) == 0
    assert log.read_text() == "one\n"


def test_files_are_in_the_order_of_their_launches(tmp_path):
    log = tmp_path / "std.out"
    files = [rank_log(tmp_path, launch, log) for launch in (2, 10, 1)]
    for file in files:
        file.touch()
    (tmp_path / "std.err").touch()
    assert left_behind(tmp_path) == [files[2], files[0], files[1]]
    assert left_behind(tmp_path / "nowhere") == []


@pytest.mark.parametrize("text, ended", [("", ""), ("one\n", "one\n"), ("one\ntw", "one\ntw\n"), ("o", "o\n")])
def test_a_line_that_was_cut_off_is_ended(tmp_path, text, ended):
    log = tmp_path / "std.out"
    end_line(log)
    assert not log.exists()
    log.write_text(text)
    end_line(log)
    end_line(log)
    assert log.read_text() == ended
