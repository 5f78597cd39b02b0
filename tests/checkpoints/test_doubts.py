"""Which files that were being written at SIGTERM were closed by a process that has lived on."""

from __future__ import annotations

import pytest

from syne_hypersched.checkpoints._doubts import Doubts
from syne_hypersched.checkpoints._files import FileState

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


BEFORE = {"model-1": FileState("file", inode=1, size=10), "model-9": FileState("folder")}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"model-2": FileState("file", inode=2, size=10)}, True),
        ({"model-2": FileState("file", inode=2, size=9)}, False),  # it is cut off
        ({"model-2": FileState("file", inode=1, size=10)}, False),  # it is written over
        ({"state-2": FileState("file", inode=2, size=10)}, False),
        ({}, False),
    ],
)
def test_a_new_file_may_be_as_large_as_the_one_before(found, expected):
    doubts = Doubts()
    doubts.begin(["model-2" if "state-2" not in found else "state-2"], is_alone=True)
    assert doubts.are_as_large(found, BEFORE) is expected
    assert not doubts.are_as_large(found, {})


def test_what_was_closed_before_the_kill():
    doubts = doubts_after(CLOSED)
    assert not doubts.were_closed  # perhaps by its death
    doubts.kill()
    assert doubts.were_closed
    doubts = doubts_after(WRITTEN)
    doubts.kill()
    doubts.hear(*CLOSED)
    assert not doubts.were_closed
    doubts = Doubts()
    doubts.kill()
    assert not doubts.were_closed  # nothing was being written
