from __future__ import annotations

import threading

import pytest

from syne_hypersched.backends.local._attention import Attention


class Stale:
    """Notes what the watch for stale reports is told."""

    def __init__(self):
        self.told = []

    def __getattr__(self, name):
        return lambda *arguments: self.told.append((name, *arguments))


@pytest.fixture
def attention():
    attention = Attention()
    attention._stale = Stale()
    yield attention
    attention.end()


def test_a_trial_is_watched_until_it_is_over(attention, tmp_path):
    for trial_id in range(4):
        attention.starts(trial_id, tmp_path / str(trial_id))
    attention.halts(1, {"epoch": 1})
    attention.looks()
    statuses = {0: "InProgress", 2: "Completed", 3: "Failed"}
    attention.has_looked(statuses, [(0, {"epoch": 1})], may_stop=True)
    assert list(attention._news._logs) == [0]
    assert attention._stale.told == [
        ("resume", 0), ("resume", 1), ("resume", 2), ("resume", 3), ("halt", 1, {"epoch": 1}), ("enter",),
        ("leave", [(0, {"epoch": 1})], [2]),
    ]  # fmt: skip


def test_what_is_never_stopped_is_not_stale_when_it_has_completed(attention, tmp_path):
    attention.starts(0, tmp_path / "0")
    attention.has_looked({0: "Completed"}, [], may_stop=False)
    assert attention._stale.told[-1] == ("leave", [], [])


def test_reports_after_a_decision_are_not_handed_out(attention):
    """The tuner does not pass them to the scheduler. It goes through the list meanwhile."""
    reports = [(0, {"epoch": 1}), (1, {"epoch": 1}), (0, {"epoch": 2}), (1, {"epoch": 2}), (0, {"epoch": 3})]
    handed = attention.hands(list(reports))
    seen = []
    for trial_id, report in handed:
        seen.append((trial_id, report["epoch"]))
        if seen[-1] == (0, 1):
            attention.halts(trial_id, report)
    assert seen == [(0, 1), (1, 1), (1, 2)]
    assert handed == [reports[0], reports[1], reports[3]]
    attention.halts(1, {"epoch": 1})  # not the object that was handed out, as after a resume
    attention.halts(1, None)
    assert len(handed) == 3
    attention.end()
    attention.halts(1, handed[1][1])
    assert len(handed) == 3


def test_the_gap_between_two_looks_grows_while_there_are_no_reports(attention):
    gaps = []
    for reports in ([], [], [(0, {})]):
        attention.has_looked({}, reports, may_stop=False)
        gaps.append(attention._news._gap_s)
    assert gaps[0] < gaps[1] > gaps[2]


def test_a_wait_ends_when_something_is_told(attention):
    heard = []
    tell = attention.telling(lambda *what: heard.append(what))
    waiting = threading.Thread(target=attention.wait, args=(1.0,), daemon=True)
    waiting.start()
    tell("exit", 3)
    waiting.join()
    assert heard == [("exit", 3)]
    assert attention._stale.told[0] == ("calm",)


def test_the_end_of_the_tuning_ends_a_wait_and_what_waits_is_closed(attention):
    attention.set_due(5.0)
    assert attention._news._due == 5.0
    attention.wait(0.0)
    attention._news._open_bell()
    attention.end()
    assert attention._news._bell is None
