"""The order of saves and reports, as far as it can be known."""

from __future__ import annotations

import signal
from collections import Counter
from dataclasses import replace

import pytest

from syne_hypersched.check._trace import LaunchTrace, places_of, written_by_all
from syne_hypersched.checkpoints import Change

SAVED = Change("closed", "state")
OTHER = Change("created", "state")


@pytest.mark.parametrize(
    ("seen", "num_reports", "places"),
    [
        ([SAVED, None], 1, [(1, 1)]),
        ([None, SAVED], 1, [(0, 0)]),
        ([None, SAVED, None], 2, [(0, 0), (1, 1)]),
        ([None, SAVED, None], 1, [(0, 1)]),  # one addition to the log is no report, and it is not known which one
        ([None, SAVED, None], 3, [(0, 1)] * 3),
        ([SAVED, SAVED], 1, [(0, 2)]),
        ([SAVED, None], 0, []),
    ],
)
def test_a_report_is_at_the_addition_to_the_log_that_holds_it(seen, num_reports, places):
    changes, found = places_of(seen, num_reports, begin=0)
    assert changes == [change for change in seen if change is not None]
    assert found == places
    assert places_of(seen, num_reports, begin=7)[1] == [(low + 7, high + 7) for low, high in places]


def trace(changes, places):
    return LaunchTrace(1, reports=({},) * len(places), changes=tuple(changes), places=tuple(places))


def test_whether_there_was_a_save_before_a_report():
    first = trace([SAVED, OTHER, SAVED], [(1, 1), (3, 3)])
    assert [first.saved_before(0), first.saved_before(1)] == [True, True]
    late = trace([OTHER, SAVED], [(1, 1), (2, 2)])
    assert [late.saved_before(0), late.saved_before(1)] == [False, True]
    unknown = trace([SAVED], [(0, 1)])
    assert unknown.saved_before(0) is None
    assert first.between(0) == (OTHER, SAVED)


def test_whether_a_save_may_have_followed_the_last_report():
    def may_lack(changes, places, exit_code=-signal.SIGTERM):
        return replace(trace(changes, places), exit_code=exit_code).may_lack_a_report

    assert may_lack([SAVED], [(0, 0)])
    assert may_lack([SAVED], [(0, 1)])
    assert may_lack([SAVED], [])
    assert may_lack([SAVED, OTHER], [(1, 1)])  # in the middle of a save
    assert not may_lack([SAVED], [(1, 1)])
    assert not may_lack([SAVED], [(0, 0)], exit_code=75)  # it has left by itself


def test_how_often_a_file_was_written_from_one_report_to_the_next():
    assert trace([SAVED, OTHER, SAVED, SAVED], [(1, 1), (4, 4)]).written() == [{"state": 2}]
    assert trace([SAVED, SAVED, SAVED], [(0, 1), (2, 3)]).written() == [{"state": 1}]
    assert trace([SAVED], [(1, 1)]).written() == []


@pytest.mark.parametrize(
    ("alone", "several", "found"),
    [
        ([{"a": 1}, {"a": 1}], [{"a": 2}, {"a": 2}], "a"),
        ([{"a": 1}, {"a": 1}], [{"a": 2}, {"a": 1}, {"a": 1}], ""),  # once
        ([{"e-1": 1}, {"e-2": 1}], [{"e-3": 2}, {"e-4": 2}, {"e-5": 1}], "e-4"),  # a new name each time
        ([{"log": 3}, {"log": 5}], [{"log": 12}, {"log": 12}], ""),  # by a timer
        ([{"log": 3, "a": 1}, {"log": 5, "a": 1}], [{"log": 12, "a": 2}], "a"),
        ([{"a": 4}, {"a": 4}], [{"a": 5}, {"a": 5}], ""),  # not by two ranks
        ([{"a": 1}], [], ""),
    ],
)
def test_a_file_that_all_ranks_write(alone, several, found):
    assert written_by_all([Counter(one) for one in alone], [Counter(one) for one in several], 2) == found
