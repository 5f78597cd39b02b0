"""Logs of ranks, and the end of a log in an error message."""

from __future__ import annotations

import json

import pytest

from syne_hypersched.backends.local._failures import MAX_INTERRUPTIONS, FailurePolicy, GiveUp, Retry
from syne_hypersched.backends.local._processes import TrialProcesses, last_lines, read_lines
from syne_hypersched.backends.shared.levels import RelaunchStart
from syne_hypersched.filenames import rank_log_name
from syne_hypersched.launch import LaunchExit


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


def test_all_lines_of_a_log(tmp_path):
    (tmp_path / "std.out").write_bytes(b"one\ntwo \xff")
    assert read_lines(tmp_path / "std.out") == ["one\n", "two \ufffd"]
    assert read_lines(tmp_path / "nothing") == []


def ended(*codes, first_failed=None, **how):
    return LaunchExit(codes, first_failed, **({"drained": False, "killed": False} | how))


@pytest.fixture
def trial(tmp_path):
    return TrialProcesses(3, tmp_path / "std.out", tmp_path / "std.err")


@pytest.mark.parametrize(
    ("exit_", "how"),
    [
        (ended(0), "completed"),
        (ended(1, first_failed=0), "failed"),
        (ended(-9, -9, first_failed=1, killed=True), "failed"),
        (ended(error="cannot fork"), "failed"),
        (ended(0, error="cannot start a process"), "failed"),
        (ended(0, drained=True), "drained"),
        (ended(-15, drained=True), "drained"),
        (ended(-9, drained=True, killed=True), "killed"),
        (ended(75), "drained"),
        (ended(75, -9, first_failed=0, killed=True), "failed"),  # not all of them have left
        (ended(lost=True, drained=True), "lost"),
    ],
)
def test_how_a_launch_has_ended(trial, exit_, how):
    assert trial.how_ended(exit_) == how


def test_what_was_ended_because_it_was_silent_has_stalled_unless_it_was_quicker(trial):
    trial.start(1, order=1)
    trial.begin_launch(1)
    trial.take_handle(0)
    trial.begin_drain(stalled=True)
    assert trial.how_ended(ended(-15, drained=True)) == "stalled"
    assert trial.how_ended(ended(-9, drained=True, killed=True)) == "stalled"
    assert trial.how_ended(ended(0)) == "completed"
    assert trial.how_ended(ended(1, first_failed=0)) == "failed"


@pytest.mark.parametrize("exit_", [ended(75), ended(lost=True, drained=True)])
def test_what_is_interrupted_again_and_again_has_failed(trial, exit_):
    assert "failed" not in {trial.how_ended(exit_) for _ in range(MAX_INTERRUPTIONS)}
    assert trial.how_ended(exit_) == "failed"
    assert isinstance(trial.fail(exit_, 1, FailurePolicy(), knows_progress=True), GiveUp)


def test_the_last_words_are_those_of_the_rank_that_failed_first(trial, tmp_path):
    exit_ = ended(-9, 1, first_failed=1, killed=True)
    assert trial.failed_log(exit_) == tmp_path / "std.rank1.err"
    trial.failed_log(exit_).write_text("Traceback\nValueError: no\n")
    assert isinstance(trial.fail(exit_, 2, FailurePolicy(), knows_progress=True), Retry)
    assert isinstance(trial.fail(exit_, 2, FailurePolicy(), knows_progress=True), GiveUp)


def test_a_process_with_another_rank_than_at_first_has_its_log_still(trial, tmp_path):
    trial.logs = (0, 2)
    assert trial.failed_log(LaunchExit((0, 1), 1, False, False)) == tmp_path / "std.rank2.err"


def test_an_empty_log_has_no_last_words(trial):
    for content in (None, ""):
        if content is not None:
            trial.stderr_path.write_text(content)
        assert isinstance(trial.fail(ended(1, first_failed=0), 1, FailurePolicy(), knows_progress=True), Retry)


def print_report(trial, **values):
    with open(trial.stdout_path, "a") as file:
        file.write(f"[tune-metric]: {json.dumps(values)}\n")


def test_what_is_read_is_queued_unless_it_was_delivered_by_an_earlier_launch(trial):
    for launch in range(2):
        trial.reports.stream.begin_launch(launch, 1, 0.0)
        trial.clock.heard_at = 0.0
        for epoch in (1, 2):
            print_report(trial, epoch=epoch, launch=launch)
        read = trial.read("epoch")
        # Whoever does work again is no less alive.
        assert trial.clock.heard_at > 0
        assert [(report.values["epoch"], report.is_new) for report in read] == [(1, launch == 0), (2, launch == 0)]
        assert [report.beginning for report in read] == [RelaunchStart(1, 1, 2) if launch else None, None]
        content = trial.stdout_path.read_text()
        assert [content[: report.end].count("}") for report in read] == [2 * launch + 1, 2 * launch + 2]
    assert [report["launch"] for report in trial.reports.deliver()] == [0, 0]
    assert trial.reports.stream.num_reports == 2
    trial.read("epoch", to_the_end=True)


def test_what_is_not_read_yet_may_be_a_report(trial):
    trial.stdout_path.write_text("x" * (5 << 20) + "\n")
    heard = []
    for _ in range(5):
        trial.clock.heard_at = 0.0
        trial.read("epoch")
        heard.append(trial.clock.heard_at > 0)
    assert heard == [True, True, False, False, False]
    trial.reports.tail.close()
