"""Which state of the checkpoint folder belongs to which report: histories as they are seen, without files or clocks."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched.checkpoints import Notes, Order
from syne_hypersched.checkpoints._matching import KNOWN_LATE_SAVE_S, LATE_SAVE_S, Matcher
from tests.thoroughness import examples


class History:
    """A launch as it is seen: what is taken is taken at once, and carries the epoch that the script had trained."""

    def __init__(self, order=Order.UNKNOWN, notes=None, launch=0, goes_on=True, now=0.0):
        self.matcher = Matcher(launch, notes or Notes(), order, now, goes_on)
        self.matcher.follow("epoch", "loss", True)
        self.now = now
        #: The epoch inside each generation, by its number.
        self.contents = {}

    def report(self, epoch, loss, after_s=0.0):
        self.now += after_s
        self.matcher.report({"epoch": epoch, "loss": loss}, self.matcher.num_reports + 1, self.now)

    def save(self, epoch, after_s=0.0, quiet=True, between=None):
        self.now += after_s
        number = self.matcher.num_reports
        self.matcher.change(*(between or (number, number)), self.now)
        self.contents[len(self.contents) + 1] = epoch
        self.matcher.taken(len(self.contents))
        if quiet:
            self.wait(0.03)

    def wait(self, seconds):
        self.now += seconds
        self.matcher.tick(self.now)
        self.matcher.settle()

    def matched(self):
        """Of the best report, the epoch that its generation holds, and how sure that is."""
        known = self.matcher.matched[-1]
        return known.values["epoch"], self.contents[known.generation], known.match


def test_who_saves_before_the_report_has_the_checkpoint_of_the_report():
    history = History()
    for epoch, loss in ((1, 3.0), (2, 2.0), (3, 1.0), (4, 2.0), (5, 3.0)):
        history.save(epoch, after_s=1.0, quiet=False)
        history.report(epoch, loss, after_s=0.01)
        history.wait(0.5)
    assert history.matched() == (3, 3, "exact")


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
