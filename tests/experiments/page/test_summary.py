from __future__ import annotations

from syne_hypersched.experiments import Event
from syne_hypersched.experiments._nodes import Absence
from syne_hypersched.experiments._run import RunGoal
from syne_hypersched.experiments.page._state import PageState
from syne_hypersched.experiments.page._summary import counts, cut_off, shares_of_time
from syne_hypersched.experiments.page._views import LaunchView


def test_the_shares_of_the_device_time_add_up():
    launches = [
        LaunchView(0, 0, [0, 1], 0.0, train_s=1.0, drain_s=4.0, end_s=5.0, how="drained"),
        LaunchView(1, 0, [2], 0.0, train_s=1.0, end_s=3.0, how="failed"),
        LaunchView(2, 0, [2], 4.0),
    ]
    shares = shares_of_time(launches, 3, 10.0)
    assert shares == {"importing": 2.0 + 6.0, "training": 6.0, "draining": 2.0, "failed": 3.0, "free": 11.0}
    absences = [Absence(("a",), "lost", 5.0, 7.0), Absence(("a", "b"), "drained", 8.5)]
    shares = shares_of_time(launches, 3, 10.0, absences)
    assert (shares["away"], shares["free"], sum(shares.values())) == (5.0, 6.0, 30.0)


def test_trials_that_the_end_has_cut_off_are_counted_as_in_the_report():
    state = PageState(RunGoal("loss", True, "epoch", {}))
    for event in (Event(0.0, "start", 0), Event(0.0, "start", 1), Event(0.1, "launch", 0, ("a",), 0)):
        state.add_event(event)
    assert counts(state, "running") == {"in progress": 2}
    assert counts(state, "killed") == {"unfinished": 2}
    state.add_event(Event(1.0, "exit", 0, ("a",), 0, reason="deadline"))
    assert counts(state, "finished") == {"deadline": 2}
    assert (cut_off(state, "running"), cut_off(state, "killed")) == ("in progress", "unfinished")
