from __future__ import annotations

import math

import numpy as np
import pytest

from syne_hypersched.checkpoints._states import Order, State, number_of, step_of

UNKNOWN, EARLY, LATE, MIXED = Order.UNKNOWN, Order.EARLY, Order.LATE, Order.MIXED


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (UNKNOWN, UNKNOWN, UNKNOWN), (UNKNOWN, EARLY, EARLY), (LATE, UNKNOWN, LATE), (EARLY, EARLY, EARLY),
        (LATE, LATE, LATE), (EARLY, LATE, MIXED), (MIXED, UNKNOWN, MIXED), (MIXED, EARLY, MIXED), (MIXED, MIXED, MIXED),
    ],
)  # fmt: skip
def test_evidence_of_the_order_adds_up(one, other, both):
    assert one.and_(other) is other.and_(one) is both


def test_an_order_is_a_text_that_can_be_sent():
    assert Order("late") is LATE
    assert LATE == "late"


@pytest.mark.parametrize(
    ("entry", "number"),
    [
        (1, 1.0), (0.5, 0.5), (-2, -2.0), (np.float64(0.25), 0.25), (True, None), ("1", None), (None, None),
        (math.nan, None), (math.inf, None), (10**400, None), ([1], None),
    ],
)  # fmt: skip
def test_a_number_of_a_report_is_finite_or_none(entry, number):
    assert number_of(entry) == number
    assert number is None or type(number_of(entry)) is float


@pytest.mark.parametrize(
    ("levels", "step"),
    [({}, None), ({3: 1.0}, None), ({3: 1.0, 4: 2.0}, 1.0), ({4: 4.0, 3: 1.0, 5: 4.0}, 3.0), ({1: 2.0, 2: 1.0}, None)],
)
def test_the_step_is_the_last_difference_of_levels_that_rose(levels, step):
    assert step_of(levels) == step


@pytest.mark.parametrize(
    ("gap_s", "after_s", "is_clear"), [(None, 9.0, True), (1.0, 0.2, True), (1.0, 0.3, False), (0.0, 0.1, False)]
)
def test_a_save_is_clearly_that_of_the_next_report_if_it_came_long_after_the_one_before(gap_s, after_s, is_clear):
    assert State(1, 1, ended_s=5.0, gap_s=gap_s).is_clear(after_s) == is_clear


@pytest.mark.parametrize(
    ("gap_s", "after_s", "long_s"),
    [(1.0, 0.01, 0.03), (1.0, 2.0, 6.0), (None, 0.001, 0.01), (None, 0.02, 0.16), (None, 2.0, 6.1), (None, 0.0, 0.0)],
)
def test_a_pause_after_a_report_is_long_beside_that_before_it_and_longer_after_the_first_save(gap_s, after_s, long_s):
    assert State(1, 1, ended_s=5.0, gap_s=gap_s).long_s(after_s) == pytest.approx(long_s)


@pytest.mark.parametrize(
    ("gap_s", "after_s", "is_last"),
    [(None, 0.01, True), (None, 0.3, True), (None, 0.4, False), (2.0, 0.3, True), (1.0, 0.3, False)],
)
def test_the_last_save_belongs_to_the_report_after_it_unless_it_came_at_the_start(gap_s, after_s, is_last):
    """What is saved before the first epoch does not belong to the report of that epoch."""
    assert State(0, 0, ended_s=5.0, gap_s=gap_s).is_last(after_s, began_s=2.0) == is_last
