"""Which levels are new, and which relaunches start as if there were no checkpoint."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.backends.shared.levels import Levels, Relaunches, RelaunchStart

TRAIN, VALID = ("epoch", "train_loss"), ("epoch", "loss")


def accepted(*launches):
    """The new reports of launches, each a list of levels, or of pairs of a level and the names reported with it."""
    levels, new = Levels(), []
    for launch in launches:
        levels.begin_launch()
        levels = pickle.loads(pickle.dumps(levels))
        for report in launch:
            level, names = report if isinstance(report, tuple) else (report, VALID)
            if levels.accept(level, names):
                new.append(report)
    return new


def test_work_that_is_done_again_is_not_new():
    assert accepted([1, 2, 3], [2, 3, 4], [5], [1, 2, 3, 4, 5, 6]) == [1, 2, 3, 4, 5, 6]


def test_a_launch_may_report_a_level_more_than_once():
    assert accepted([1, 1, 2, 2], [3, 3]) == [1, 1, 2, 2, 3, 3]


def test_a_launch_that_ended_between_two_reports_of_a_level_has_delivered_the_first():
    train, valid = (2, TRAIN), (2, VALID)
    assert accepted([(1, TRAIN), (1, VALID), train], [train, valid, (3, TRAIN)]) == [
        (1, TRAIN), (1, VALID), train, valid, (3, TRAIN)
    ]  # fmt: skip
    # The same if their names do not tell them apart, or if the script goes on behind the first one.
    assert accepted([1, 1, 2], [2, 2, 3]) == [1, 1, 2, 2, 3]
    assert accepted([train], [valid]) == [train, valid]
    assert accepted([train, valid], [valid], [train, valid], [3]) == [train, valid, 3]


def test_a_further_entry_does_not_make_a_report_new():
    more = (2, (*VALID, "compile_s"))
    assert accepted([1, 2], [more, 3]) == [1, 2, 3]
    assert accepted([1, more], [2, 3]) == [1, more, 3]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), max_size=8), st.integers(1, 3))
def test_whatever_is_redone_every_report_is_new_once(launches, times):
    done, runs = 0, []
    for redone, new in launches:
        begin = max(0, done // times - redone) * times  # the first report of some epoch
        runs.append([number // times for number in range(begin, done + new)])
        done += new
    assert accepted(*runs) == [number // times for number in range(done)]


def beginnings(*launches):
    levels, seen = Levels(), []
    for launch in launches:
        levels.begin_launch()
        assert levels.beginning is None
        for level in launch:
            levels.accept(level, VALID)
        seen.append(levels.beginning)
    return seen


def test_where_a_relaunch_begins():
    assert beginnings([1, 2], [3], [3, 4], [], [1, 2]) == [
        None, RelaunchStart(3, 1, 2), RelaunchStart(3, 1, 3), None, RelaunchStart(1, 1, 4)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("level", "before", "is_redone", "is_anew"),
    [(4, 3, False, False), (3, 3, True, False), (1, 3, True, True), (0, 3, True, True), (1, 1, True, False)],
)
def test_a_trial_with_more_than_one_level_that_starts_from_the_beginning_is_recognised(
    level, before, is_redone, is_anew
):
    beginning = RelaunchStart(level, first=1, before=before)
    assert (beginning.is_redone, beginning.is_anew) == (is_redone, is_anew)


ANEW, ON = RelaunchStart(1, 1, 3), RelaunchStart(4, 1, 3)


@pytest.mark.parametrize(
    ("relaunches", "speaks_at"),
    [
        ([ANEW], None),
        ([ANEW, ANEW, ANEW], 1),
        ([ON, ANEW, ON, ANEW, ON], None),
        ([ON, ANEW, ANEW, ON, ANEW], 2),
        ([RelaunchStart(1, 1, 1)] * 9, None),
    ],
)
def test_only_what_is_the_rule_is_spoken_of_and_once(relaunches, speaks_at):
    watch = Relaunches()
    spoken = [index for index, beginning in enumerate(relaunches) if watch.add(beginning)]
    assert spoken == ([] if speaks_at is None else [speaks_at])
