"""LastLevels of reports, and the order that the first level of a launch shows."""

from __future__ import annotations

import json

import pytest

from syne_hypersched.checkpoints._levels import LastLevels, order_of
from syne_hypersched.checkpoints._states import Order, State


def levels_of(*found, evidence=None):
    levels = LastLevels(evidence or {})
    for number, level in enumerate(found, start=1):
        levels.add(number, level)
    return levels


def test_only_the_last_levels_are_kept():
    levels = levels_of(1, 2, 3, 4, 5)
    assert [levels.of(number) for number in range(1, 7)] == [None, 2, 3, 4, 5, None]


@pytest.mark.parametrize(
    ("before", "found", "has_gone_on"),
    [((1, 2), (3,), True), ((1, 2), (2,), False), ((1, 2), (), False), ((), (1, 2), False)],
)
def test_a_launch_has_gone_on_once_its_level_is_above_those_before(before, found, has_gone_on):
    evidence = json.loads(json.dumps(levels_of(*before).evidence(False, None)))
    assert levels_of(*found, evidence=evidence).has_gone_on == has_gone_on


@pytest.mark.parametrize(
    ("level", "number", "steps"),
    [
        (1, 2, 2),  # epochs 2 and 3
        (1, 3, 4),  # a launch was killed after it had saved epoch 3, which nobody has reported
        (4, 3, 1),
        (1, 9, 0),  # no such report
        (None, 3, 0),
    ],
)
def test_a_checkpoint_may_be_newer_by_levels_that_were_never_reported(level, number, steps):
    evidence = json.loads(json.dumps(levels_of(1, 2).evidence(False, None)))
    levels = LastLevels(evidence)
    levels.add(3, 4)
    assert levels.num_after(level, number, is_first=False) == steps


def test_steps_are_counted_by_the_least_difference_between_two_reports_in_a_row():
    levels = levels_of(100, 200, 400, 600, 800, 1000)
    assert levels.num_after(200, 6, is_first=False) == 9  # up to 1100
    assert levels_of(5).num_after(5, 1, is_first=False) == 0  # one report has no step


def test_a_checkpoint_before_the_first_report_of_a_launch_is_of_that_level_at_most():
    """The launch before has saved epochs 3 and 4, and reported none of them."""
    levels = LastLevels(levels_of(1, 2).evidence(False, None))
    levels.add(3, 5)
    assert levels.num_after(2, 2, is_first=True) == 3
    assert levels.num_after(2, 2, is_first=False) == 1


def test_the_levels_that_a_launch_has_not_reported_are_no_step():
    levels = LastLevels(levels_of(1).evidence(False, None))
    levels.add(2, 4)
    assert levels.num_after(1, 2, is_first=False) == 0
    levels.add(3, 5)
    assert levels.num_after(1, 3, is_first=False) == 5


def test_a_level_above_the_lowest_one_is_none_of_a_launch_that_begins_anew():
    levels = levels_of(1, 2)
    assert levels.is_beyond_first(2)
    assert not levels.is_beyond_first(1)
    assert not levels_of().is_beyond_first(5)  # no launch is known that has begun anew


@pytest.mark.parametrize(
    ("after", "level", "order"),
    [(2, 3, Order.LATE), (2, 4, Order.EARLY), (2, 5, Order.UNKNOWN), (1, 3, Order.EARLY), (0, 3, Order.UNKNOWN)],
)
def test_the_first_level_shows_which_report_the_checkpoint_before_belongs_to(after, level, order):
    """The launch before has reported the levels 1 and 2, and then was left."""
    evidence = levels_of(1, 2).evidence(False, State(after, after, 0.0))
    assert order_of(evidence, level) is order


def test_who_has_saved_before_the_first_report_is_not_taken_to_save_after_each():
    evidence = levels_of(1, 2).evidence(True, State(2, 2, 0.0))
    assert order_of(evidence, 3) is Order.MIXED
    assert order_of(evidence, 4) is Order.EARLY


@pytest.mark.parametrize(
    ("found", "state"),
    [
        ((1, 2), None),
        ((1, 2), State(1, 2, 0.0)),  # nobody knows whether a report came between
        ((1, 2), State(2, 2, 0.0, drained=True)),
        ((1,), State(1, 1, 0.0)),  # the step is not known
        ((), State(0, 0, 0.0)),
    ],
)
def test_nothing_is_concluded_from_what_is_not_certain(found, state):
    evidence = json.loads(json.dumps(levels_of(*found).evidence(False, state)))
    assert order_of(evidence, 3) is Order.UNKNOWN
