from __future__ import annotations

from syne_hypersched.backends.local._order import by_time


def order(*stamped):
    return [
        (trial_id, report["epoch"])
        for trial_id, report in by_time(
            [(trial_id, {"epoch": epoch, "st_worker_timestamp": time_s}) for trial_id, epoch, time_s in stamped]
        )
    ]


def test_reports_of_several_trials_are_in_the_order_of_their_time_stamps():
    assert order((0, 1, 10.0), (0, 2, 30.0), (1, 1, 20.0)) == [(0, 1), (1, 1), (0, 2)]


def test_a_clock_that_is_set_back_does_not_affect_a_trial():
    assert order((0, 1, 5000.0), (0, 2, 1400.0), (1, 1, 1500.0), (0, 3, 1600.0)) == [(1, 1), (0, 1), (0, 2), (0, 3)]
