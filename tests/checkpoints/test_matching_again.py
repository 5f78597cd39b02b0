"""Which report is the best, and what work that is done again says of its checkpoint."""

from __future__ import annotations

import pytest

from syne_hypersched.checkpoints import Notes, Order
from syne_hypersched.checkpoints._matching import Matcher
from tests.checkpoints.histories import History


def test_only_the_best_report_has_its_checkpoint_kept():
    history = History()
    for epoch, loss in ((1, 3.0), (2, 1.0), (3, 2.0), (4, 2.5)):
        history.save(epoch, after_s=1.0)
        history.report(epoch, loss, after_s=0.01)
        history.wait(0.5)
    assert history.matcher.needed == {2}


def test_without_a_metric_the_last_report_is_the_best():
    history = History()
    history.matcher.follow("epoch", None, True)
    for epoch in (1, 2, 3):
        history.save(epoch, after_s=1.0)
        history.report(epoch, 1.0, after_s=0.01)
        history.wait(0.5)
    assert history.matched() == (3, 3, "exact")


def test_the_checkpoint_of_work_that_is_done_again_is_not_newer():
    """The best report was of epoch 4 and has no checkpoint; a later launch begins at epoch 1 again."""
    history = History()
    for epoch in (1, 2, 3, 4):
        history.report(epoch, 1 / epoch, after_s=1.0)
    again = History(notes=history.matcher.notes(), launch=1, now=100.0)
    for epoch in (2, 3):
        again.report(epoch, 1 / epoch, after_s=1.0)
        again.save(epoch, after_s=0.001)
    assert not again.matcher.matched
    again.report(4, 0.25, after_s=1.0)
    again.save(4, after_s=0.001)
    assert again.matched() == (4, 4, 4)


@pytest.mark.parametrize("begins_at", [1, 2, 4])
def test_a_checkpoint_before_the_first_report_of_a_launch_may_be_of_work_that_is_done_again(begins_at):
    """The best report was of epoch 4 and has no checkpoint; the script saves before it reports."""
    history = History()
    for epoch in (1, 2, 3, 4):
        history.report(epoch, 1 / epoch, after_s=1.0)
    again = History(notes=history.matcher.notes(), launch=1, now=100.0)
    again.save(begins_at + 1, after_s=1.0)
    assert not again.matcher.matched
    again.report(begins_at + 1, 1.0, after_s=0.5)
    assert bool(again.matcher.matched) == (begins_at == 4)
    if begins_at == 4:
        assert again.matched() == (4, 5, 1)


def test_work_that_is_done_again_is_no_better():
    history = History()
    for epoch in (1, 2, 3):
        history.save(epoch, after_s=1.0)
        history.report(epoch, 1 / epoch, after_s=0.01)
        history.wait(0.5)
    again = History(notes=history.matcher.notes(), launch=1, goes_on=False)
    again.contents = dict(history.contents)
    again.save(3, after_s=1.0)
    again.report(3, 0.01, after_s=0.01)
    again.wait(0.5)
    assert again.matched() == (3, 3, "exact")
    assert again.matcher.matched[-1].launch == 0


@pytest.mark.parametrize("value", [None, "0.1", True, float("nan"), 10**400, [1]])
def test_what_is_no_number_is_no_best(value):
    history = History()
    history.save(1, after_s=1.0)
    history.report(1, value, after_s=0.01)
    history.wait(0.5)
    assert not history.matcher.matched


@pytest.mark.parametrize("level", [None, "2", True, float("nan")])
def test_a_report_without_a_level_is_no_best(level):
    history = History()
    history.save(1, after_s=1.0)
    history.report(1, 0.5, after_s=0.01)
    history.report(level, 0.1, after_s=0.01)  # a test score
    history.wait(0.5)
    assert [known.report for known in history.matcher.matched] == [1]


@pytest.mark.parametrize("order", [Order.UNKNOWN, Order.LATE, Order.EARLY])
def test_what_was_saved_before_a_level_was_reached_again_may_be_of_the_level_before(order):
    """The first launch was killed before it could save. The second one saves at its start, trains and reports."""
    first = History(order)
    for epoch in (1, 2, 3):
        first.report(epoch, 1.0 / epoch, after_s=1.0)
    second = History(order, first.matcher.notes(), launch=1, now=100.0)
    second.save(2, after_s=1.0)
    second.report(3, 1.0, after_s=1.0)
    second.wait(1.0)
    assert [known.report for known in second.matcher.matched] == ([3] if order is Order.EARLY else [])
    second.save(3)
    assert second.matcher.matched[-1].report == 3


def test_what_is_done_again_is_no_checkpoint_of_the_best_report_however_many_reports_follow():
    first = History()
    for epoch in range(1, 11):
        first.report(epoch, 1.0 / epoch, after_s=1.0)
    second = History(notes=first.matcher.notes(), launch=1, now=100.0)
    second.report(1, 1.0, after_s=1.0)
    second.save(1)
    for epoch in range(2, 9):
        second.report(epoch, 1.0, after_s=1.0)
    assert not second.matcher.matched


@pytest.mark.parametrize(
    ("highest", "levels", "expected"),
    [
        (2.0, [3], True),
        (2.0, [1, 2], False),
        (2.0, [2, 3], True),
        (2.0, [None], False),
        (None, [3], False),
        (-1e308, [1], False),
    ],
)
def test_a_launch_goes_on_if_its_levels_rise_beyond_those_before(highest, levels, expected):
    notes = Notes(evidence=None if highest is None else {"highest": highest})
    matcher = Matcher(1, notes, Order.UNKNOWN, 0.0, False)
    matcher.follow("epoch", "loss", True)
    for level in levels:
        matcher.report({} if level is None else {"epoch": level}, 0, 1.0)
    assert matcher.has_gone_on == expected
