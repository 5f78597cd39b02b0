"""Which state of the checkpoint folder belongs to which report: histories as they are seen, without files or clocks."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched.checkpoints import Order
from syne_hypersched.checkpoints._matching import KNOWN_LATE_SAVE_S, LATE_SAVE_S
from tests.checkpoints.histories import History
from tests.thoroughness import examples


def test_who_saves_before_the_report_has_the_checkpoint_of_the_report():
    history = History()
    for epoch, loss in ((1, 3.0), (2, 2.0), (3, 1.0), (4, 2.0), (5, 3.0)):
        history.save(epoch, after_s=1.0, quiet=False)
        history.report(epoch, loss, after_s=0.01)
        history.wait(0.5)
    assert history.matched() == (3, 3, "exact")


@pytest.mark.parametrize("order", [Order.UNKNOWN, Order.MIXED])
@pytest.mark.parametrize("num_lost", [0, 1, 2])
@pytest.mark.parametrize("num_reports", [1, 3])
def test_a_checkpoint_before_the_first_report_may_be_newer_by_what_launches_have_saved_and_not_reported(
    order, num_lost, num_reports
):
    """Each launch is killed between a save and its report, and the next one goes on from there."""
    history = History(order)
    for epoch in range(1, num_reports + 1):
        for _ in range(2):
            history.save(epoch, after_s=0.5)
        history.report(epoch, 1 / epoch, after_s=0.03)
    for launch in range(1, num_lost + 1):
        history.contents[len(history.contents) + 1] = num_reports + launch  # and nobody has taken it
        contents = history.contents
        history = History(history.matcher.order, history.matcher.notes(), launch, now=100.0 * launch)
        history.contents = contents
    for _ in range(2):
        history.save(num_reports + num_lost + 1, after_s=0.5)
    history.report(num_reports + num_lost + 1, 2.0, after_s=0.03)
    epoch, content, match = history.matched()
    assert epoch <= content <= epoch + (0 if match == "exact" else match)


def test_a_checkpoint_may_be_newer_by_an_epoch_that_was_saved_and_never_reported():
    """The first launch was killed after it had saved epoch 3, and before it could report that."""
    first = History(Order.MIXED)
    for epoch, loss in ((1, 1.0), (2, 2.0)):
        first.report(epoch, loss, after_s=1.0)
    second = History(Order.MIXED, first.matcher.notes(), launch=1)
    second.report(4, 3.0, after_s=1.0)
    second.save(5, after_s=0.9)
    assert second.matched() == (1, 5, 4)


def test_a_checkpoint_belongs_to_no_report_during_which_the_next_one_is_written():
    """A thread begins to save just before the report."""
    history = History(Order.EARLY)
    history.report(1, 3.0, after_s=1.0)
    history.save(1, after_s=0.01)
    history.matcher.touch(history.now + 0.999)
    history.report(2, 2.0, after_s=1.0)
    history.wait(1.0)
    assert [known.values["epoch"] for known in history.matcher.matched] == [1]
    history.save(2, after_s=0.01, between=(1, 2))
    assert history.matched() == (2, 2, 1)


def test_what_is_added_late_is_not_waited_for():
    history = History(Order.EARLY)
    history.save(1, after_s=1.0)
    history.report(1, 1.0, after_s=0.001)
    assert history.matcher.matched == []
    history.matcher.touch(history.now + 0.06)
    assert history.matched() == (1, 1, "exact")


@pytest.mark.parametrize("is_ended", [False, True])
def test_nothing_is_added_once_the_script_has_ended_or_if_the_order_is_certain(is_ended):
    history = History(Order.EARLY)
    if not is_ended:
        history.matcher.know(Order.EARLY)
    history.save(1, after_s=1.0)
    history.report(1, 1.0, after_s=0.001)
    if is_ended:
        history.matcher.end(False, history.now)
    assert history.matched() == (1, 1, "exact")


def test_a_checkpoint_before_any_training_is_not_that_of_the_first_report():
    history = History()
    history.save(0, after_s=0.5)
    history.report(1, 1.0, after_s=1.0)
    history.save(1, after_s=0.001)
    assert history.matched() == (1, 1, 1)


def test_a_late_save_that_takes_its_time_is_not_that_of_the_next_report():
    history = History()
    for epoch in range(1, 5):
        history.report(epoch, 1 / epoch, after_s=0.03)
        history.save(epoch, after_s=0.06)
    epoch, content, match = history.matched()
    assert match != "exact"
    assert epoch <= content <= epoch + match


def test_a_save_across_a_report_is_of_either():
    history = History()
    history.report(1, 1.0, after_s=1.0)
    history.save(1, between=(0, 1), after_s=0.001)
    assert not history.matcher.matched
    history.save(2, between=(1, 2), after_s=1.0)
    assert history.matched() == (1, 2, 2)


def test_a_save_that_was_seen_only_after_its_report_may_be_newer_by_one_if_the_script_saves_early():
    history = History(order=Order.EARLY)
    history.save(1, between=(0, 1), quiet=False)  # or is already that of the second report
    history.report(1, 1.0, after_s=0.01)
    history.wait(0.1)
    assert history.matched() == (1, 1, 1)

    history = History()
    for epoch in (1, 2):
        history.save(epoch, between=(epoch - 1, epoch), after_s=1.0, quiet=False)
        history.report(epoch, 1 / epoch, after_s=0.01)
        history.wait(0.1)
    assert history.matched() == (1, 2, 2)
    assert history.matcher.wants_state  # it may be that of the second report
    history.matcher.end(True, history.now)
    assert history.matcher.order is Order.EARLY
    assert history.matched() == (2, 2, 1)


def test_files_that_are_written_on_after_a_report_are_of_the_checkpoint_begun_before_it():
    history = History()
    history.report(1, 1.0, after_s=1.0)
    history.now += 0.01
    history.matcher.change(1, 1, history.now)
    history.report(2, 0.5, after_s=0.01)
    history.matcher.change(2, 2, history.now, goes_on=True)
    history.contents[1] = 1
    history.matcher.taken(1)
    history.wait(0.03)
    assert not history.matcher.matched  # of report 2, for which it may be too old


@pytest.mark.parametrize("noticed_s", [0.0, 1.0])
def test_when_a_save_was_noticed_does_not_make_it_later(noticed_s):
    """It is not known when it was begun after all was quiet the last time: 0.03 s after the report."""
    history = History()
    history.save(1, after_s=1.0, quiet=False)
    history.report(1, 1.0, after_s=0.02)
    quiet_s = history.now + 0.03
    history.now += 0.03 + noticed_s
    history.matcher.change(1, 1, history.now, since_s=quiet_s)
    assert not history.matcher.matched


@pytest.mark.parametrize("is_clear", [True, False])
def test_a_save_in_the_middle_between_two_reports_is_of_either(is_clear):
    """Perhaps the script saves a while after each report."""
    history = History()
    history.save(1, after_s=1.0, quiet=False)
    history.report(1, 2.0, after_s=0.005)
    history.now += 1.0 if is_clear else 0.08
    history.matcher.touch(history.now)
    history.save(2, after_s=0.01, quiet=False)
    history.report(2, 1.0, after_s=0.02)
    history.wait(1.0)
    assert [known.match for known in history.matcher.matched] == (["exact", "exact"] if is_clear else ["exact"])


@pytest.mark.parametrize("is_first", [True, False])
def test_a_busy_machine_lets_a_script_wait_between_its_report_and_its_save(is_first):
    """It saves what it begins with, and trains an epoch in 13 ms. After its first report, nothing can be compared."""
    history = History()
    if not is_first:
        history.save(1, after_s=1.0, quiet=False)
        history.report(1, 9.0, after_s=0.001)
    history.save(0 if is_first else 2, after_s=1.0, quiet=False)
    history.report(1 if is_first else 2, 1.0, after_s=0.013)
    history.wait(0.06)
    history.save(1, after_s=0.001)
    assert history.matched() == ((1, 1, 1) if is_first else (2, 2, "exact"))


def test_a_save_that_was_noticed_late_was_not_later():
    history = History()
    history.save(1, after_s=1.0, quiet=False)
    history.now += 0.001
    history.matcher.report({"epoch": 1, "loss": 1.0}, 1, history.now, gap_s=0.02)  # by the time of the file
    history.now += 0.15
    history.matcher.tick(history.now)
    assert not history.matcher.matched
    history.now += 0.02
    history.matcher.tick(history.now)
    assert history.matched() == (1, 1, "exact")


def test_after_a_report_a_save_is_awaited_unless_the_script_has_saved_before():
    late, early = History(), History()
    early.save(1, after_s=1.0)
    for history in (late, early):
        history.report(1, 1.0, after_s=0.01)
    assert late.matcher.awaits_save(late.now + LATE_SAVE_S / 2, late.now)
    assert not late.matcher.awaits_save(late.now + 2 * LATE_SAVE_S, late.now)
    assert not early.matcher.awaits_save(early.now + LATE_SAVE_S / 2, early.now)
    known = History(order=Order.LATE)
    known.report(1, 1.0, after_s=1.0)
    assert known.matcher.awaits_save(known.now + KNOWN_LATE_SAVE_S / 2, known.now)
    known.save(1)
    assert not known.matcher.awaits_save(known.now, known.now)


def test_a_script_that_goes_on_reporting_is_not_waited_for():
    history = History()
    history.report(1, 1.0, after_s=1.0)
    asked_s = history.now
    history.report(2, 1.0, after_s=0.001)
    assert not history.matcher.awaits_save(history.now, asked_s)


@given(st.integers(0, 2**32), st.sampled_from(["early", "late", "every second, early", "every second, late", "twice"]))
@settings(max_examples=examples(300))
def test_a_match_is_never_older_and_never_newer_than_it_says(seed, kind):
    """Whatever the script's order, losses and launches; a launch may end, and be looked at late, at any moment."""
    draw = random.Random(seed)

    def seen(history, *, after=0, before=0):
        """Between how many reports a save is seen, if that is not certain."""
        number = history.matcher.num_reports
        return (max(0, number - after), number + before) if draw.random() < 0.2 else None

    notes, order, saved, contents = None, Order.UNKNOWN, 0, {}
    for launch in range(3):
        history = History(order=order, notes=notes, launch=launch, goes_on=draw.random() < 0.8, now=100.0 * launch)
        history.contents = contents
        ends_at = draw.randint(saved + 1, 12)
        ended = False
        for epoch in range(saved + 1, 13):
            is_saved = "second" not in kind or epoch % 2 == 0
            if is_saved and kind in ("early", "every second, early", "twice"):
                history.save(epoch, after_s=1.0, quiet=draw.random() < 0.5, between=seen(history, before=1))
                saved = epoch
            history.report(epoch, draw.random(), after_s=0.01 if is_saved and "late" not in kind else 1.0)
            if draw.random() < 0.5:
                history.wait(0.1)
            if epoch == ends_at and draw.random() < 0.7:
                ended = True
                break
            if is_saved and kind in ("late", "every second, late", "twice"):
                history.save(epoch, after_s=0.001, quiet=draw.random() < 0.5, between=seen(history, after=1))
                saved = epoch
        history.matcher.end(not ended, history.now)
        notes, order = history.matcher.notes(), history.matcher.order
        for known in history.matcher.matched:
            content, level = contents[known.generation], known.values["epoch"]
            assert content == level if known.match == "exact" else level <= content <= level + known.match
        if saved >= 12:
            break


def moments_of(draw):
    """What a script does in each epoch: ``T`` trains a part of it, ``S`` saves and ``R`` reports."""
    moments = ["T"] * draw.choice([1, 1, 1, 2, 3]) + ["S"] * draw.choice([1, 1, 2, 3]) + ["R"]
    draw.shuffle(moments)
    moments.remove("T")
    return ["T", *moments]


@given(st.integers(0, 2**32))
@settings(max_examples=examples(400))
def test_a_match_is_what_it_says_however_often_and_whenever_a_script_saves(seed):
    """Also in the middle of an epoch, or seldom, and if a launch does again what no checkpoint has."""
    draw = random.Random(seed)
    moments, every, epoch_s, lag_s = moments_of(draw), draw.choice([1, 1, 2, 3]), draw.choice([0.1, 1.0]), 0.01
    num_parts = moments.count("T")
    notes, order, saved, contents, levels = None, Order.UNKNOWN, 0.0, {}, {}
    for launch in range(draw.choice([1, 2, 3])):
        history = History(order, notes, launch, goes_on=draw.random() < 0.8, now=100.0 * launch)
        history.contents = contents
        last = min(12, int(saved) + draw.randint(1, 10))
        for epoch in range(int(saved) + 1, last + 1):
            part = 0
            for moment in moments:
                if moment == "T":
                    part += 1
                    history.now += epoch_s / num_parts
                elif moment == "R":
                    levels[epoch] = epoch - 1 + part / num_parts
                    history.report(epoch, draw.random(), after_s=lag_s)
                elif epoch % every == 0:
                    saved = epoch - 1 + part / num_parts
                    history.save(saved, after_s=lag_s, quiet=draw.random() < 0.5)
                if draw.random() < 0.1:
                    history.wait(0.05)
        history.matcher.end(draw.random() < 0.5, history.now)
        notes, order = history.matcher.notes(), history.matcher.order
        for known in history.matcher.matched:
            content, level = contents[known.generation], levels[known.values["epoch"]]
            if known.match != "exact":
                assert level - 1e-9 <= content <= level + known.match + 1e-9
            elif num_parts == 1:  # else nobody can tell whether it trained between save and report, or only evaluated
                assert content == level
