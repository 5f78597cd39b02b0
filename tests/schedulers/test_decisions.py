from __future__ import annotations

from syne_hypersched.schedulers._decisions import Decision, DecisionLog


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
    log.add(4.0, "close", None, 0, "it is late")
    assert log.as_list() == [Decision(0.0, "start", 0, 1), Decision(4.0, "close", None, 0, "it is late")]
