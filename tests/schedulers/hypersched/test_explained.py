from __future__ import annotations

import math
from datetime import datetime

import pytest
from syne_tune.backend.trial_status import Trial

from syne_hypersched.schedulers._reasons import because
from syne_hypersched.schedulers.clock import TuningClock
from syne_hypersched.schedulers.decisions import DecisionLog
from syne_hypersched.schedulers.hypersched._explained import ExplainedScheduler


class Strategy:
    """What is asked of a strategy here."""

    admission_open = True
    allocation = {3: 2}  # noqa: RUF012

    def admission(self, now_s):
        return because("time is left", time_left_s=100.0 - now_s)


class Explained(ExplainedScheduler):
    strategy = "adaptive"

    def __init__(self):
        self.deadline_s = 100.0
        self._strategy = Strategy()
        self._clock = TuningClock(lambda: self._now_s)
        self._decisions = DecisionLog()

    suggest = on_trial_result = _on_report = None


class RecordingTrial(Trial):
    """A trial whose backend keeps a record."""

    def __init__(self):
        super().__init__(3, {}, datetime(2026, 1, 1))
        self.noted = []

    def note(self, what, reason, numbers):
        self.noted.append((what, reason, dict(numbers)))


Explained.__abstractmethods__ = frozenset()


@pytest.fixture
def scheduler() -> Explained:
    scheduler = Explained()
    for now_s, what, trial_id, reason in (
        (1.0, "start", 3, because("")), (2.0, "pause", 4, because("rank 2 of 2", rank=2)),
        (3.0, "resize", 3, because("it pays", gain=1.5)),
    ):  # fmt: skip
        scheduler._now_s = now_s
        scheduler._log(what, trial_id, 1, reason)
    return scheduler


def test_the_state_and_the_last_decisions_that_have_a_reason(scheduler):
    explanation = scheduler.explain()
    assert (explanation.strategy, explanation.time_s, explanation.deadline_s) == ("adaptive", 3.0, 100.0)
    assert (explanation.admission_open, explanation.admission_closed_s) == (True, None)
    assert (explanation.admission.text, explanation.admission.numbers) == ("time is left", {"time_left_s": 97.0})
    assert explanation.allocation == {3: 2}
    assert [(each.time_s, each.what) for each in explanation.decisions] == [(2.0, "pause"), (3.0, "resize")]
    assert [each.what for each in scheduler.decisions] == ["start", "pause", "resize"]


def test_as_many_decisions_as_asked_for_and_of_one_trial(scheduler):
    assert [each.what for each in scheduler.explain(1).decisions] == ["resize"]
    assert [each.what for each in scheduler.explain(trial_id=4).decisions] == ["pause"]
    assert scheduler.explain(0).decisions == ()
    with pytest.raises(ValueError, match="num_decisions"):
        scheduler.explain(-1)


def test_why_admission_was_closed_stays_the_reason(scheduler):
    scheduler._log("close", None, 0, because("40 s are left", time_left_s=40.0))
    scheduler._now_s = 9.0
    explanation = scheduler.explain()
    assert explanation.admission_closed_s == 3.0
    assert (explanation.admission.text, explanation.admission.numbers) == ("40 s are left", {"time_left_s": 40.0})


def test_a_deadline_that_is_not_known_yet_is_never(scheduler):
    scheduler.deadline_s = None
    assert scheduler.explain().deadline_s == math.inf


def test_reasons_are_recorded_once_where_a_record_is_kept(scheduler):
    trial = RecordingTrial()
    scheduler._record_reasons(trial)
    scheduler._record_reasons(trial)
    assert trial.noted == [("pause", "rank 2 of 2", {"rank": 2}), ("resize", "it pays", {"gain": 1.5})]
    scheduler._log("stop", 3, 0, because("late"))
    scheduler._record_reasons(Trial(3, {}, datetime(2026, 1, 1)))
    scheduler._record_reasons(trial)
    assert len(trial.noted) == 2, "a trial without a record was asked first"
