"""Reactions to failed launches: pure functions of values, so that every case can be tested."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched.backends.local._failures import (
    MAX_BACKOFF_S,
    MAX_INTERRUPTIONS,
    Failure,
    FailureHistory,
    FailurePolicy,
    GiveUp,
    Retry,
)
from tests.thoroughness import examples

POLICY = FailurePolicy(retries=2, retry_backoff_s=1.0)


def history(*sizes):
    """The history of a trial that has reported on these numbers of devices."""
    made = FailureHistory()
    for size in sizes:
        made.report(size)
    return made


def test_a_trial_is_retried_so_often_between_two_reports():
    trial = history(1)
    for _ in range(3):
        decisions = [trial.fail(Failure(1, 1, "the same each time"), POLICY) for _ in range(3)]
        assert decisions == [
            Retry(1, 1.0, "retry 1 of 2"),
            Retry(1, 2.0, "retry 2 of 2"),
            GiveUp("no new report after 2 retries"),
        ]
        trial.report(1)


def test_without_retries_a_failure_is_final():
    assert history(1).fail(Failure(1, 1), FailurePolicy(retries=0)) == GiveUp("")


@pytest.mark.parametrize("code", [2, 126, 127])
def test_what_cannot_start_is_not_retried_unless_it_has_worked(code):
    assert isinstance(history().fail(Failure(1, code), POLICY), GiveUp)
    assert isinstance(history(1).fail(Failure(1, code), POLICY), Retry)


def test_the_same_last_words_twice_before_the_first_report_are_enough():
    trial, failure = history(), Failure(1, 1, "SyntaxError: invalid syntax")
    assert isinstance(trial.fail(failure, POLICY), Retry)
    assert trial.fail(failure, POLICY) == GiveUp("it ends in the same words before its first report")


@pytest.mark.parametrize(
    "other",
    [
        Failure(1, 1, "ConnectionError: reset"),  # another reason
        Failure(1, 3, "OSError: no such host"),  # another code
        Failure(1, -9, "OSError: no such host"),  # a signal, which says nothing about the script
        Failure(1, None, "OSError: no such host"),  # no process could be started
    ],
)
def test_another_end_is_worth_another_retry(other):
    trial = history()
    assert isinstance(trial.fail(Failure(1, 1, "OSError: no such host"), POLICY), Retry)
    assert isinstance(trial.fail(other, POLICY), Retry)


@pytest.mark.parametrize("failure", [Failure(1, -9, ""), Failure(1, 1, "")])
def test_an_end_without_words_is_retried_as_often_as_any(failure):
    trial = history()
    assert [type(trial.fail(failure, POLICY)) for _ in range(3)] == [Retry, Retry, GiveUp]


def test_work_that_cannot_be_distinguished_from_repeated_work_is_not_retried():
    blind = Failure(1, 1, "error", knows_progress=False)
    assert isinstance(history().fail(blind, POLICY), Retry)  # nothing was reported that could be doubled
    (reason,) = (history(1).fail(blind, POLICY).reason,)
    assert "time_attr" in reason


def test_a_trial_that_fails_on_more_devices_goes_back_to_what_worked():
    trial = history(1, 2)
    assert trial.max_num_devices is None
    assert trial.fail(Failure(4, -9), POLICY) == Retry(2, 1.0, "it fails on 4 devices and goes back to 2")
    assert (trial.max_num_devices, trial.num_failures) == (3, 0)
    # It is still worth as many retries as any other on the devices that worked.
    assert [type(trial.fail(Failure(2, -9), POLICY)) for _ in range(3)] == [Retry, Retry, GiveUp]


def test_falling_back_needs_no_retries():
    assert history(1).fail(Failure(2, 1), FailurePolicy(retries=0)) == Retry(
        1, 1.0, "it fails on 2 devices and goes back to 1"
    )


def test_a_size_that_has_worked_is_not_given_up():
    trial = history(1, 4)
    assert trial.fail(Failure(4, 1), POLICY) == Retry(4, 1.0, "retry 1 of 2")
    assert trial.max_num_devices is None


def test_failing_on_fewer_devices_says_nothing_about_more():
    trial = history(4)
    assert trial.fail(Failure(2, 1), POLICY) == Retry(2, 1.0, "retry 1 of 2")
    assert trial.max_num_devices is None


def test_interruptions_are_no_failures_until_there_are_too_many():
    trial = history()
    assert all(trial.interrupt() for _ in range(MAX_INTERRUPTIONS))
    assert trial.num_failures == 0
    assert not trial.interrupt()
    assert isinstance(trial.fail(Failure(1, 75), POLICY), GiveUp)
    trial.report(1)
    assert trial.interrupt()


EVENTS = st.one_of(
    st.tuples(st.just("report"), st.integers(1, 8)),
    st.tuples(st.just("fail"), st.integers(1, 8), st.sampled_from([None, -11, -9, 1, 2, 127]), st.sampled_from("ab")),
)


@settings(max_examples=examples(200))
@given(events=st.lists(EVENTS, max_size=40), retries=st.integers(0, 4))
def test_retries_end_and_never_go_to_a_size_that_has_failed(events, retries):
    """Without a report there are at most ``retries`` retries, besides one step down for each size."""
    policy, trial = FailurePolicy(retries=retries), FailureHistory()
    retried, reported = 0, set()
    for what, size, *rest in events:
        limit = trial.max_num_devices
        if limit is not None and size > limit:
            continue  # the fleet never launches it so
        if what == "report":
            trial.report(size)
            reported.add(size)
            retried = 0
            continue
        decision = trial.fail(Failure(size, *rest), policy)
        if isinstance(decision, GiveUp):
            return
        if decision.num_devices < size:
            assert decision.num_devices in reported
            assert size not in reported
            assert trial.max_num_devices == size - 1
        else:
            retried += 1
            assert decision.num_devices == size
            assert decision.backoff_s == policy.backoff_s(retried)
        assert retried <= retries


@settings(max_examples=examples(200))
@given(before=st.lists(EVENTS, max_size=15), after=st.lists(EVENTS, max_size=15), reports_later=st.booleans())
def test_a_restored_history_decides_like_the_one_that_was_kept(before, after, reports_later):
    """The state is that after the last failure; all reports, also later ones, are known from the log."""
    policy, kept = FailurePolicy(retries=3), FailureHistory()
    state, reported = {}, []
    for event in [*before, *([("report", 1)] if reports_later else [])]:
        play(kept, event, policy)
        if event[0] == "report":
            reported.append(event[1])
        else:
            state, num_reported = kept.state(), len(reported)
    restored = FailureHistory()
    for size in reported:
        restored.report(size)
    if state:
        restored.restore(json.loads(json.dumps(state)), has_reported_since=len(reported) > num_reported)
    assert restored.max_num_devices == kept.max_num_devices
    assert [play(restored, event, policy) for event in after] == [play(kept, event, policy) for event in after]


def play(history, event, policy):
    what, size, *rest = event
    return history.report(size) if what == "report" else history.fail(Failure(size, *rest), policy)


def test_a_history_without_faults_has_nothing_to_say():
    trial = history(1, 2)
    assert trial.state() == {}
    trial.interrupt()
    assert trial.state()["num_interruptions"] == 1
    trial.report(1)
    assert trial.state() == {}


@pytest.mark.parametrize(
    ("sizes", "limit", "asked", "fitting"),
    [
        ((1, 2), None, 8, 8),
        ((1, 2), 3, 3, 3),
        ((1, 2), 3, 4, 2),  # not three, since it has never run on three
        ((1, 4), 3, 4, 1),
        ((4,), 3, 4, 3),  # it has worked on no number that is allowed
    ],
)
def test_the_devices_that_a_trial_is_launched_on(sizes, limit, asked, fitting):
    trial = history(*sizes)
    if limit is not None:
        trial.limit(limit)
    assert trial.fitting(asked) == fitting


def test_the_tighter_of_two_limits_stands():
    trial = history()
    for limit, expected in ((4, 4), (2, 2), (3, 2)):
        trial.limit(limit)
        assert trial.max_num_devices == expected


@given(
    num_failures=st.integers(1, 10_000),
    first=st.floats(0, 1e6, allow_subnormal=False),
)
def test_the_back_off_grows_to_a_limit(num_failures, first):
    policy = FailurePolicy(retry_backoff_s=first)
    assert policy.backoff_s(1) == first
    assert first <= policy.backoff_s(num_failures) <= policy.backoff_s(num_failures + 1) <= max(first, MAX_BACKOFF_S)


def test_when_a_launch_has_stalled():
    assert not FailurePolicy().has_stalled(1e9)
    assert not FailurePolicy(stall_timeout_s=5).has_stalled(5.0)
    assert FailurePolicy(stall_timeout_s=5).has_stalled(5.1)


@pytest.mark.parametrize(
    ("error", "options", "message"),
    [
        (TypeError, {"retries": 1.5}, "retries must be an integer, but got 1.5"),
        (TypeError, {"retries": True}, "retries must be an integer, but got True"),
        (TypeError, {"retry_backoff_s": "1"}, "retry_backoff_s must be a number of seconds, at least 0, but got '1'"),
        (TypeError, {"stall_timeout_s": True}, "stall_timeout_s must be a number of seconds above 0, or None"),
        (ValueError, {"retries": -1}, "retries must be at least 0, but got -1"),
        (ValueError, {"retry_backoff_s": -1}, "retry_backoff_s must be a number of seconds"),
        (ValueError, {"retry_backoff_s": math.nan}, "retry_backoff_s must be a number of seconds"),
        (ValueError, {"stall_timeout_s": 0}, "stall_timeout_s must be a number of seconds above 0"),
        (ValueError, {"stall_timeout_s": math.inf}, "stall_timeout_s must be a number of seconds above 0"),
        (ValueError, {"min_free_mb": -1}, "min_free_mb must be a number of megabytes"),
    ],
)
def test_arguments_must_make_sense(error, options, message):
    with pytest.raises(error, match=message):
        FailurePolicy(**options)
