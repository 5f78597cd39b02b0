from __future__ import annotations

import json

import dill

from syne_hypersched.schedulers._reasons import because
from syne_hypersched.schedulers.decisions import Decision, DecisionLog


def test_the_last_ten_thousand_are_kept_in_order():
    log = DecisionLog()
    for time_s in range(10_005):
        log.add(float(time_s), "start", time_s, 1)
    decisions = log.as_list()
    assert len(decisions) == 10_000
    assert decisions[0] == Decision(5.0, "start", 5, 1)
    assert decisions[-1] == Decision(10_004.0, "start", 10_004, 1)


def test_restarting_changes_the_times_alone():
    log = DecisionLog()
    log.add(3.0, "start", 0, 1)
    log.restart()
    log.add(4.0, "close", None, 0, because("it is late", time_left_s=2.5))
    closing = Decision(4.0, "close", None, 0, "it is late", {"time_left_s": 2.5})
    assert log.as_list() == [Decision(0.0, "start", 0, 1), closing]
    log.restart()
    assert log.as_list() == [Decision(0.0, "start", 0, 1), closing._replace(time_s=0.0)]
    assert log.closing == closing._replace(time_s=0.0)
    assert log.take_untold() == [closing._replace(time_s=0.0)]


def test_the_closing_of_admission_is_remembered_for_good():
    log = DecisionLog()
    assert log.closing is None
    log.add(4.0, "close", None, 0, because("it is late"))
    for trial_id in range(10_005):
        log.add(5.0, "start", trial_id, 1)
    assert log.closing == Decision(4.0, "close", None, 0, "it is late")
    assert log.closing not in log.as_list()


def test_only_decisions_with_a_reason_are_recorded_and_each_once():
    log = DecisionLog()
    log.add(1.0, "start", 0, 1)
    log.add(2.0, "pause", 0, 0, because("it is weak"))
    assert [decision.what for decision in log.take_untold()] == ["pause"]
    assert log.take_untold() == []


def test_a_decision_in_words_and_as_json():
    decision = Decision(2.0, "resize", 3, 4, "grows", {"gain": 1.5})
    assert str(decision) == "resize trial 3: grows"
    assert str(Decision(2.0, "close", None, 0, "it is late")) == "close admission: it is late"
    assert str(Decision(2.0, "start", 3, 1)) == "start trial 3"
    assert json.loads(json.dumps(decision.to_dict())) == {
        "time_s": 2.0, "what": "resize", "trial_id": 3, "num_devices": 4, "reason": "grows", "numbers": {"gain": 1.5},
    }  # fmt: skip


def test_a_stored_log_goes_on_as_it_was():
    log = DecisionLog()
    log.add(1.0, "start", 0, 1)
    log.add(2.0, "close", None, 0, because("it is late", time_left_s=2.5))
    copy = dill.loads(dill.dumps(log))
    for either in (log, copy):
        either.add(3.0, "stop", 0, 0, because("it is over"))
    assert copy.as_list() == log.as_list()
    assert copy.closing == log.closing
    assert [decision.what for decision in copy.take_untold()] == ["close", "stop"]
