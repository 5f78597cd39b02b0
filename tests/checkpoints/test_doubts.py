"""Which files that were being written at SIGTERM were closed by a process that has lived on."""

from __future__ import annotations

import pytest

from syne_hypersched.checkpoints._doubts import Doubts

CLOSED, WRITTEN, REMOVED, MOVED = ("closed", "model"), ("written", "model"), ("removed", "old"), ("moved", "latest")


def doubts_after(*events, paths=("model",), is_alone=True):
    doubts = Doubts()
    doubts.begin(paths, is_alone)
    for event in events:
        doubts.hear(*event)
    return doubts


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], False),
        ([WRITTEN], False),
        ([WRITTEN, CLOSED], False),  # perhaps by its death
        ([CLOSED, ("closed", "log")], False),
        ([REMOVED, CLOSED], False),
        ([CLOSED, REMOVED], True),
        ([CLOSED, MOVED], True),
        ([CLOSED, ("created", "next")], True),
        ([CLOSED, WRITTEN], False),
        ([CLOSED, REMOVED, WRITTEN], False),
        ([CLOSED, WRITTEN, CLOSED, REMOVED], True),
    ],
)
def test_who_does_something_afterwards_has_closed_it(events, expected):
    assert doubts_after(*events).were_outlived is expected
    assert not doubts_after(*events, is_alone=False).were_outlived  # it may have been another process
    assert not doubts_after(*events, paths=("model", "other")).were_outlived


def test_what_is_not_in_doubt():
    doubts = Doubts()
    assert doubts.were_outlived
    assert not doubts.begin([], is_alone=True)
    assert doubts.begin(["step-1/model", "step-10/model"], is_alone=True)
    doubts.forget("step-1")
    assert doubts.paths == {"step-10/model"}
    doubts.clear()
    assert doubts.were_outlived
    assert not doubts.paths


@pytest.mark.parametrize(("end", "is_in_doubt"), [(10, True), (11, False)])
def test_a_report_after_sigterm_shows_that_the_processes_go_on(end, is_in_doubt):
    doubts = Doubts()
    doubts.begin(["model"], is_alone=True, log_end=10)
    doubts.report(end)
    assert bool(doubts.paths) == is_in_doubt
