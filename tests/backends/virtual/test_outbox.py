"""Reports that the tuner has not received yet."""

from __future__ import annotations

from syne_hypersched.backends.virtual._outbox import Outbox
from syne_hypersched.backends.virtual._trial import VirtualTrial
from syne_hypersched.blackboxes import LearningCurve


def make_trials(number):
    return [VirtualTrial(trial_id, LearningCurve([], [])) for trial_id in range(number)]


def test_reports_that_are_not_requested_keep_their_order():
    news, (a, b) = Outbox(), make_trials(2)
    for trial, epoch in ((a, 1), (b, 1), (a, 2)):
        news.report(trial, {"epoch": epoch})
    assert news.due
    assert news.take({1}) == ([(1, {"epoch": 1})], [])
    assert not news.due
    assert news.take(None) == ([(0, {"epoch": 1}), (0, {"epoch": 2})], [])
    assert news.take(None) == ([], [])


def test_ended_trials_are_delivered_once_and_in_the_order_of_their_ids():
    news, trials = Outbox(), make_trials(3)
    for trial in reversed(trials):
        news.end(trial)
    assert news.due
    assert news.take(None) == ([], [0, 1, 2])
    assert news.take(None) == ([], [])


def test_what_comes_after_the_decision_is_kept_whether_it_was_delivered_or_not():
    news, (trial, other) = Outbox(), make_trials(2)
    reports = [{"epoch": epoch} for epoch in range(1, 5)]
    for report in reports[:3]:
        news.report(trial, report)
    news.take(None)
    news.report(trial, reports[3])
    news.report(other, {"epoch": 1})
    news.keep(trial, reports[0])
    assert news.take(None) == ([(1, {"epoch": 1})], [])
    news.give_back(trial)
    assert news.due
    assert [report for _, report in news.take(None)[0]] == reports[1:]
    assert trial.kept == []


def test_who_looks_at_everything_at_once_is_told_of_the_trials_themselves():
    news, (a, b) = Outbox(), make_trials(2)
    news.report(b, {"epoch": 1})
    news.report(a, {"epoch": 1})
    news.end(b)
    news.end(a)
    assert news.take_all() == ([(b, {"epoch": 1}), (a, {"epoch": 1})], [0, 1])
    assert not news.due
    assert news.take_all() == ([], [])


def test_a_trial_that_has_ended_before_it_was_halted_has_not_ended_for_the_tuner():
    news, (trial, other) = Outbox(), make_trials(2)
    for each in (trial, other):
        news.report(each, {"epoch": 9})
        news.end(each)
    news.keep(trial, None)
    assert news.take(None) == ([(1, {"epoch": 9})], [1])
    news.give_back(trial)
    assert news.take(None) == ([(0, {"epoch": 9})], [])
