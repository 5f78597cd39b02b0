"""The order of saves and reports, as far as it can be known."""

from __future__ import annotations

import signal
from collections import Counter
from dataclasses import replace

import pytest

from syne_hypersched.check._trace import LaunchTrace, code_text, num_saves, places_of, written_by_all
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
    assert not may_lack([SAVED], [(0, 0)], exit_code=75)  # it has left by itself, after a save


def test_a_script_that_handles_sigterm_after_a_save_may_lack_its_report():
    left = replace(trace([SAVED, SAVED, SAVED], [(1, 1)]), exit_code=75)
    assert replace(left, num_changes_before_signal=2).may_lack_a_report
    assert not replace(left, num_changes_before_signal=1).may_lack_a_report, "it has saved because of SIGTERM"


def test_the_mark_of_a_report_belongs_to_no_save():
    mark = Change("created", "checkpoint-000000001/reported")
    assert num_saves([SAVED, mark], [(1, 2)]) == 1, "it may have come before the report, as far as it is known"
    assert num_saves([mark], [(0, 1)]) == 0
    assert not replace(trace([SAVED, mark], [(1, 2)]), exit_code=-signal.SIGTERM).may_lack_a_report


def test_what_is_only_written_after_reports_belongs_to_no_save():
    mark = Change("created", "checkpoint-1/mine")
    saves = [Change("closed", "checkpoint-1.aside/model"), Change("moved", "checkpoint-1")]
    changes = [*saves, mark, Change("created", "checkpoint-2.aside/model")]
    assert num_saves(changes, [(2, 2)]) == 3
    assert num_saves(changes[:3], [(2, 2)], after=2) == 0
    assert num_saves(changes, []) == 4, "nothing was reported yet"
    assert num_saves([mark, mark], [(0, 0)]) == 2, "what is first in a new folder may not be seen"
    ended = replace(trace(changes[:3], [(2, 2)]), exit_code=-signal.SIGTERM)
    assert not ended.may_lack_a_report
    assert replace(ended, changes=tuple(changes)).may_lack_a_report


def test_whether_a_kill_came_in_a_save():
    aside = [Change("created", "new"), Change("closed", "new"), Change("moved", "state")]
    mark = Change("created", "mark")
    alone = trace([*aside, mark, *aside, mark, *aside], [(3, 3), (7, 7), (11, 11)])

    def is_in_save(*changes, num_before_signal=1, **fields):
        killed = trace([*aside, *changes], [(3, 3)])
        return replace(killed, num_before_signal=num_before_signal, **fields).is_in_save(alone)

    assert is_in_save(mark, aside[0])
    assert is_in_save(mark, *aside[:2])
    assert not is_in_save(mark), "it has not begun"
    assert not is_in_save(mark, *aside), "it was over"
    assert not is_in_save(mark, aside[0], num_before_signal=0), "it has reported after the kill"


def test_how_a_launch_has_ended():
    ended = trace([], [])
    assert not ended.has_failed
    assert not replace(ended, exit_code=0).has_failed
    assert replace(ended, is_silent=True).has_failed
    assert replace(ended, is_silent=True).end == "no report for too long"
    assert replace(ended, exit_code=-11).end == "exit code -11 (SIGSEGV)"
    assert replace(ended, exit_code=1, last_words="KeyError: 'lr'").end == "exit code 1: KeyError: 'lr'"
    assert [code_text(code) for code in (None, 75, -9, -99)] == ["None", "75", "-9 (SIGKILL)", "-99"]


def test_how_often_a_file_was_written_before_each_report():
    assert trace([SAVED, OTHER, SAVED, SAVED], [(1, 1), (4, 4)]).written() == [{"state": 1}, {"state": 2}]
    assert trace([SAVED, SAVED, SAVED], [(0, 1), (2, 3)]).written() == [{}, {"state": 1}]
    assert trace([SAVED], [(1, 1)]).written() == [{"state": 1}]
    assert trace([SAVED], []).written() == []


@pytest.mark.parametrize(
    ("alone", "several", "found"),
    [
        ([{"a": 1}, {"a": 1}], [{"a": 2}, {"a": 2}], "a"),
        ([{"a": 1}, {"a": 1}], [{"a": 2}, {"a": 1}, {"a": 1}], ""),  # once
        ([{"e-1": 1}, {"e-2": 1}], [{"e-3": 2}, {"e-4": 2}, {"e-5": 1}], "e-3"),  # a new name each time
        ([{"log": 3}, {"log": 5}], [{"log": 12}, {"log": 12}], ""),  # by a timer
        ([{"log": 3, "a": 1}, {"log": 5, "a": 1}], [{"log": 12, "a": 2}], "a"),
        ([{"a": 4}, {"a": 4}], [{"a": 5}, {"a": 5}], ""),  # not by two ranks
        ([{"a": 1}, {"a": 1}], [{"a": 1}, {"a": 3}], "a"),  # the other rank is the later one, except for the last time
        ([{"a": 1}], [], ""),
    ],
)
def test_a_file_that_all_ranks_write(alone, several, found):
    first = [Counter({"a": 1, "e-0": 1})]
    alone, several = (first + [Counter(one) for one in each] for each in (alone, several))
    assert written_by_all(alone, several, 2) == found


def test_what_all_ranks_write_counts_from_the_beginning():
    alone = [Counter(a=1)] * 3
    assert written_by_all(alone, [Counter(a=2), Counter(a=1), Counter(a=2)], 2) == "a"
    assert written_by_all(alone, [Counter(a=2), Counter(a=1), Counter(a=1)], 2) == ""
    assert written_by_all(alone, [], 2) == ""
