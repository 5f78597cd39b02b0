"""Whether a script saves before or after it reports, as its history shows."""

from __future__ import annotations

import pytest

from syne_hypersched.checkpoints import Order
from tests.checkpoints.histories import History


def test_who_has_reported_before_it_has_saved_does_not_save_before_it_reports():
    """Its thread saves long after a report, and has done so just before the next one."""
    history = History()
    history.report(1, 3.0, after_s=1.0)
    for epoch in (1, 2, 3):
        history.matcher.touch(history.now + 0.9)
        history.save(epoch, after_s=1.0, quiet=False)
        history.report(epoch + 1, 2 / epoch, after_s=0.001)
        history.matcher.tick(history.now + 0.5)
    assert all(known.match != "exact" for known in history.matcher.matched)


@pytest.mark.parametrize("order", [Order.UNKNOWN, Order.EARLY])
@pytest.mark.parametrize("shares", [[0.5], [0.3, 0.7], [0.9]])
def test_saves_in_the_middle_of_an_epoch_do_not_hide_those_at_its_end(order, shares):
    """As a trainer with ``save_steps`` makes them. The first report alone may be near its save by chance."""
    history = History(order)
    for epoch in range(1, 5):
        before = 0.0
        for share in shares:
            history.save(epoch - 1 + share, after_s=share - before - 0.03)
            before = share
        history.save(epoch, after_s=1.0 - before - 0.03, quiet=False)
        history.report(epoch, 1.0 / epoch, after_s=0.002)
        history.wait(0.2)
        if epoch > 1:
            assert history.matched() == (epoch, epoch, "exact")


def test_who_reports_between_its_saves_has_no_exact_checkpoint_although_one_was_near_its_report():
    """It saves after so many steps, and reports after each epoch."""
    history, saved = History(), 0.0
    for epoch in range(1, 8):
        while saved + 0.47 < epoch:
            saved += 0.47
            history.save(saved, after_s=0.44)
        history.report(epoch, 1.0 / epoch, after_s=epoch - saved)
        history.now = float(epoch)
        history.matcher.tick(history.now + 0.2)
    assert all(known.match != "exact" for known in history.matcher.matched)


@pytest.mark.parametrize("overlaps", [False, True])
def test_who_has_reported_in_the_middle_of_a_save_is_not_trusted_to_save_before_it_reports(overlaps):
    """Its thread saves at any time, here just after a report, and other trials looked as if they saved before it."""
    history = History(Order.EARLY)
    history.save(1)
    history.report(1, 3.0)
    if overlaps:
        history.matcher.overlap()
    history.save(1 if overlaps else 2, after_s=0.0 if overlaps else 1.0)
    history.report(2, 1.0, after_s=1.0)
    history.save(2 if overlaps else 3, after_s=0.0 if overlaps else 1.0)
    assert history.matched() == ((2, 2, 1) if overlaps else (2, 2, "exact"))


@pytest.mark.parametrize("order", [Order.UNKNOWN, Order.EARLY])
@pytest.mark.parametrize("has_seemed_early", [False, True])
def test_what_is_added_soon_after_the_report_is_a_part_of_its_checkpoint(order, has_seemed_early):
    """It copies its best model after the report, and what was there at the report holds an older one."""
    history = History(order)
    losses = (4.0, 3.0, 2.0) if has_seemed_early else (2.0,)
    for epoch, loss in enumerate(losses, start=1):
        history.save(epoch, after_s=1.0)
        history.report(epoch, loss, after_s=0.001)
        history.wait(0.5)
    epoch = len(losses) + 1
    history.save(epoch, after_s=1.0)
    at_the_report = len(history.contents)
    history.report(epoch, 1.0, after_s=0.001)
    history.save(epoch, after_s=0.04)
    history.save(epoch + 1, after_s=1.0)
    history.report(epoch + 1, 3.0, after_s=0.001)
    known = history.matcher.matched[-1]
    assert (known.report, known.match) == (epoch, 1)
    assert known.generation > at_the_report


def test_what_is_certain_of_the_order_stays():
    matcher = History().matcher
    matcher.know(Order.EARLY)
    matcher.overlap()
    assert matcher.order is Order.EARLY


def test_who_saves_after_the_report_has_the_next_one_which_may_be_newer():
    history = History()
    for epoch, loss in ((1, 3.0), (2, 1.0), (3, 2.0)):
        history.report(epoch, loss, after_s=1.0)
        history.save(epoch, after_s=0.001)
    assert history.matched() == (2, 2, 1)


def test_the_order_is_known_once_a_script_has_ended():
    history = History()
    for epoch in range(1, 4):
        history.report(epoch, 1 / epoch, after_s=1.0)
        history.save(epoch, after_s=0.001)
    history.matcher.end(True, history.now)
    assert history.matcher.order is Order.LATE
    later = History(order=history.matcher.order)
    later.report(1, 1.0, after_s=1.0)
    later.save(1, after_s=0.001)
    assert later.matched() == (1, 1, "exact")


def test_the_order_is_known_once_a_script_goes_on_from_its_checkpoint():
    for is_early in (True, False):
        history = History()
        for epoch in range(1, 4):
            if is_early:
                history.save(epoch, after_s=1.0)
            history.report(epoch, 1 / epoch, after_s=0.01 if is_early else 1.0)
            if not is_early:
                history.save(epoch, after_s=0.01)
        history.matcher.end(False, history.now)
        again = History(notes=history.matcher.notes(), launch=1)
        again.report(4, 0.1, after_s=1.0)
        assert again.matcher.order is (Order.EARLY if is_early else Order.LATE)


@pytest.mark.parametrize("first", [3, 2, 1])
def test_what_is_reported_again_says_nothing_of_the_order(first):
    history = History()
    for epoch in range(1, 4):
        history.report(epoch, 1 / epoch, after_s=1.0)
        history.save(epoch)
    history.matcher.end(False, history.now)
    again = History(notes=history.matcher.notes(), launch=1)
    again.report(first, 0.1, after_s=1.0)
    assert again.matcher.order is Order.UNKNOWN


@pytest.mark.parametrize("order", [Order.UNKNOWN, Order.EARLY])
def test_who_reports_anew_what_it_has_loaded_may_save_before_it_reports(order):
    history = History()
    history.save(1, after_s=1.0, quiet=False)
    history.report(1, 3.0, after_s=0.01)
    history = History(order, notes=history.matcher.notes(), launch=1, now=history.now)
    history.report(1, 3.0)
    for epoch, loss in ((2, 1.0), (3, 2.0), (4, 3.0)):
        history.save(epoch, after_s=1.0, quiet=False)
        history.report(epoch, loss, after_s=0.01)
        history.wait(0.5)
    assert history.matched() == (2, 2, "exact")
    history.matcher.end(True, history.now)
    assert history.matcher.order is Order.EARLY


def test_who_trains_an_epoch_again_may_save_after_it_reports():
    history = History()
    history.report(1, 3.0, after_s=1.0)
    history.save(1, after_s=0.01)
    history.report(2, 2.0, after_s=1.0)  # and is killed
    history = History(notes=history.matcher.notes(), launch=1, now=history.now)
    for epoch, loss in ((2, 2.0), (3, 1.0), (4, 4.0)):
        history.report(epoch, loss, after_s=1.0)
        assert history.matcher.awaits_save(history.now, history.now)
        history.save(epoch, after_s=0.01)
    assert history.matched() == (3, 3, 1)
    assert history.matcher.order is Order.UNKNOWN


def test_who_trains_an_epoch_again_may_save_long_after_it_reports():
    history = History()
    history.report(1, 3.0, after_s=1.0)
    history.save(1, after_s=1.0)
    history.report(2, 2.0, after_s=0.1)  # and is killed
    history = History(notes=history.matcher.notes(), launch=1, now=history.now)
    history.report(2, 2.0)
    for epoch, loss in ((3, 1.0), (4, 4.0)):
        history.save(epoch - 1, after_s=1.0, quiet=False)
        history.report(epoch, loss, after_s=0.1)
        history.wait(0.5)
    assert history.matched() == (3, 3, 1)


def test_one_epoch_that_takes_long_does_not_make_a_script_late_for_ever():
    history = History()
    for epoch, after_s in ((1, 0.01), (2, 0.01), (3, 0.6), (4, 0.01), (5, 0.01)):
        history.save(epoch, after_s=1.0, quiet=False)
        history.report(epoch, 1.0 / epoch, after_s=after_s)
        history.matcher.tick(history.now + 0.5)
    assert history.matched() == (5, 5, "exact")


@pytest.mark.parametrize(("succeeded", "drains"), [(True, False), (True, True), (False, False)])
def test_the_only_report_of_a_script_that_ends_by_itself_has_the_checkpoint_before_it(succeeded, drains):
    """No save can follow. A script that was killed, or asked to exit, might have saved after its report."""
    history = History()
    history.save(1, after_s=2.0, quiet=False)
    history.report(1, 1.0, after_s=0.01)
    if drains:
        history.matcher.drain()
    history.matcher.end(succeeded, history.now + 0.01)
    matched = [(known.report, known.match) for known in history.matcher.matched]
    assert matched == ([(1, "exact")] if succeeded and not drains else [])


def test_the_only_report_of_a_script_that_has_saved_at_its_start_has_no_checkpoint():
    history = History()
    history.save(0, after_s=2.0, quiet=False)
    history.report(1, 1.0, after_s=1.0)
    history.matcher.end(succeeded=True, time_s=history.now + 0.01)
    assert history.matcher.matched == []


def test_a_report_whose_generation_lacks_files_gets_the_next_one():
    history = History()
    history.report(1, 1.0, after_s=1.0)
    history.save(1)
    assert history.matched() == (1, 1, 1)
    history.matcher.forget([2])
    assert history.matched() == (1, 1, 1)
    history.matcher.forget([1])
    assert history.matcher.matched == []
    assert history.matcher.wants_state
    history.matcher.change(1, 1, history.now, goes_on=True)
    history.contents[2] = 1
    history.matcher.taken(2)
    history.wait(0.03)
    assert history.matched() == (1, 1, 1)
    assert [known.generation for known in history.matcher.matched] == [2]
