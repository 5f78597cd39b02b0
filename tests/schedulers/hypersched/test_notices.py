from __future__ import annotations

from syne_hypersched.schedulers.hypersched._notices import Notices


def test_that_nothing_is_resized_is_said_when_the_tuning_begins(caplog):
    notices = Notices()
    notices.begin("two devices are too few")
    notices.begin("two devices are too few")
    assert caplog.messages == ["no trial will be resized unless configurations run out: two devices are too few"]


def test_nothing_is_said_where_trials_are_resized_or_after_the_beginning(caplog):
    notices = Notices()
    notices.begin(None)
    notices.begin("later")
    assert not caplog.messages


def test_time_left_over_is_said_once_when_nothing_runs_and_nothing_starts(caplog):
    notices = Notices()
    notices.nothing_runs(10.0, 100.0, "adaptive", None)
    assert not caplog.messages, "more may start"
    notices.nothing_more_starts()
    notices.nothing_runs(25.0, 100.0, "adaptive", "admission is closed")
    notices.nothing_runs(26.0, 100.0, "adaptive", "admission is closed")
    (message,) = caplog.messages
    assert message == (
        "75 s of 100 s stay unused: no trial runs any more, and none is started or resumed because admission is "
        "closed. To use the time: a greater max_t, more configurations, or an earlier deadline"
    )


def test_the_published_rules_are_told_of_the_other_strategy(caplog):
    notices = Notices()
    notices.nothing_more_starts()
    notices.nothing_runs(0.0, 100.0, "published", None)
    (message,) = caplog.messages
    assert "because there is nothing to start. " in message
    assert message.endswith(', or strategy="adaptive"')


def test_less_than_a_tenth_is_not_worth_a_word(caplog):
    notices = Notices()
    notices.nothing_more_starts()
    notices.nothing_runs(90.5, 100.0, "adaptive", None)
    assert not caplog.messages
    notices.nothing_runs(90.0, 100.0, "adaptive", None)
    assert len(caplog.messages) == 1


def test_with_another_deadline_it_may_be_said_again(caplog):
    notices = Notices()
    for said in (1, 2):
        notices.nothing_runs(0.0, 100.0, "adaptive", None)
        assert len(caplog.messages) == said - 1
        notices.nothing_more_starts()
        notices.nothing_runs(0.0, 100.0, "adaptive", None)
        assert len(caplog.messages) == said
        notices.reopen()
