"""Logs of ranks, and the end of a log in an error message."""

from __future__ import annotations

import pytest

from syne_hypersched.backends._processes import TrialProcesses, last_lines, rank_log_name
from syne_hypersched.backends.reconcile import Phase, TrialState


@pytest.mark.parametrize(("rank", "name"), [(0, "std.out"), (1, "std.rank1.out"), (12, "std.rank12.out")])
def test_each_rank_has_a_log(rank, name):
    assert rank_log_name("std.out", rank) == name


def test_the_last_lines_of_a_long_log(tmp_path):
    log = tmp_path / "std.err"
    log.write_text("".join(f"line {i}\n" for i in range(100_000)))
    assert last_lines(log, num_lines=2) == "line 99998\nline 99999"
    assert len(last_lines(log, num_lines=10_000)) <= 4096


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_log_is_said_to_be_empty(tmp_path, content):
    (tmp_path / "std.err").write_bytes(content)
    assert last_lines(tmp_path / "std.err").strip() == "(the log is empty)"


def test_a_log_of_any_bytes_can_be_shown(tmp_path):
    (tmp_path / "std.err").write_bytes(b"\xff\xfe bad\n")
    assert last_lines(tmp_path / "std.err") == "�� bad"
    assert last_lines(tmp_path / "nothing") == "(the log cannot be read)"


def test_what_reconciliation_sees(tmp_path):
    trial = TrialProcesses(3, tmp_path / "std.out", tmp_path / "std.err", wants=2, order=7)
    assert trial.state(holds=0) == TrialState(3, wants=2, holds=0, phase=Phase.IDLE, resized=False, order=7)
