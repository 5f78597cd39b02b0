from __future__ import annotations

import math

import pytest
from numpy.random import RandomState

from syne_hypersched.allocation.allocator import Allocator
from syne_hypersched.allocation.scaling import LinearScaling
from syne_hypersched.allocation.timing import TimedReport, TrialTimes
from syne_hypersched.schedulers._reasons import NOT_FINITE
from syne_hypersched.schedulers.hypersched._options import PublishedRules
from syne_hypersched.schedulers.hypersched._published import PublishedStrategy
from syne_hypersched.schedulers.hypersched._retrospective import RetrospectiveHalving


class Tuning:
    """A strategy whose trials report once a second, and the times that a scheduler would keep for it."""

    def __init__(self, num_devices=4, deadline_s=100.0, max_t=50.0, **options):
        rules = PublishedRules(**{"recharge_period": 0, **options})
        self.times = TrialTimes()
        self.strategy = PublishedStrategy(
            self.times,
            RetrospectiveHalving((1, 3), 3, rules.speculation),
            Allocator(num_devices, "top_job", LinearScaling(), None, rules.recharge_period, RandomState(0)),
            deadline_s,
            max_t,
            3,
            rules,
        )

    def start(self, *trial_ids: int, now_s: float = 0.0) -> None:
        for trial_id in trial_ids:
            self.strategy.begin(trial_id)
            self.times.start(trial_id, now_s)

    def report(self, trial_id: int, resource: float, value: float, now_s: float, **times):
        self.times.report(trial_id, TimedReport(resource, now_s, **times), now_s)
        return self.strategy.report(trial_id, resource, value, now_s)

    def close(self, now_s: float) -> None:
        """Admission closes because of the time left."""
        assert self.strategy.close_if_due(now_s) is not None


def test_admission_closes_when_a_new_trial_cannot_win_any_more():
    tuning = Tuning()
    tuning.start(0, 1)
    assert tuning.strategy.close_if_due(100.0) is None, "nothing has reported"
    tuning.report(0, 10, 0.5, 10.0)
    tuning.report(1, 10, 0.6, 10.0)
    tuning.report(0, 20, 0.5, 20.0)
    # Three times the 20 s of the longest trial, or 50 epochs of a second.
    assert tuning.strategy.close_if_due(50.0) is None
    assert tuning.strategy.admission_open
    reason = tuning.strategy.close_if_due(51.0)
    assert reason.text == "49 s are left and a new trial needs 50 s to win"
    assert reason.numbers == {
        "time_left_s": 49.0, "time_needed_s": 50.0, "longest_trial_s": 20.0, "epoch_time_s": 1.0, "launch_cost_s": 0.0,
    }  # fmt: skip
    assert not tuning.strategy.admission_open
    assert tuning.strategy.close_if_due(99.0) is None, "it is said once"


def test_a_cold_start_closes_nothing():
    tuning = Tuning(max_t=1000.0)
    tuning.start(0)
    tuning.report(0, 1, 0.5, 30.0)
    tuning.report(0, 2, 0.5, 31.0)
    tuning.start(1, now_s=31.0)
    # Three times 31 s would be needed, were the 30 s of the first report training.
    assert tuning.strategy.close_if_due(50.0) is None
    assert tuning.strategy.close_if_due(95.0) is not None


@pytest.mark.parametrize(
    ("options", "open_s", "closes_s"),
    [({"job_limit": False}, 99.9, 100.0), ({"fixed_exploration": 0.25}, 25.0, 25.1)],
)
def test_arms_of_the_ablation_close_at_a_fixed_time(options, open_s, closes_s):
    tuning = Tuning(**options)
    tuning.start(0)
    tuning.report(0, 1, 0.5, 1.0)
    assert tuning.strategy.close_if_due(open_s) is None
    reason = tuning.strategy.close_if_due(closes_s)
    assert reason.numbers["time_left_s"] == 100 - closes_s
    assert reason.numbers.get("exploration") == options.get("fixed_exploration")


def test_the_cost_of_launches_can_be_ignored():
    needs = {}
    for ignore in (False, True):
        tuning = Tuning(max_t=1000.0, ignore_overhead=ignore)
        tuning.start(0)
        tuning.report(0, 1, 0.5, 6.0, launch=0, signal_to_report_s=6.0)
        tuning.report(0, 15, 0.5, 20.0, launch=0)
        needs[ignore] = tuning.strategy.admission(20.0).numbers["time_needed_s"]
    # 20 s of the longest trial, of which 5 were the launch: the first report came after 6 s and an epoch of a second.
    assert needs == {False: 45.0, True: 60.0}


def test_a_cold_start_counts_where_the_cost_of_launches_is_ignored():
    needs = {}
    for ignore in (False, True):
        tuning = Tuning(max_t=1000.0, ignore_overhead=ignore)
        tuning.start(0)
        tuning.report(0, 1, 0.5, 30.0)
        tuning.report(0, 2, 0.5, 31.0)
        needs[ignore] = tuning.strategy.admission(31.0).numbers["time_needed_s"]
    assert needs[False] < 10
    assert needs[True] == 93.0


def test_a_weak_trial_is_paused_and_resumed_when_it_is_weak_no_longer():
    tuning = Tuning()
    tuning.start(0, 1, 2)
    assert tuning.report(0, 1, 0.5, 1.0) is None
    weak = tuning.report(1, 1, 0.6, 1.0)
    assert weak.text == "rank 2 of 2 at the rung of level 1, where one in 3 goes on"
    tuning.strategy.pause(1)
    tuning.strategy.end(1, resumable=True)
    assert 1 not in tuning.strategy
    assert tuning.strategy.next_paused(1.0) is None
    for trial_id, value in ((2, 0.7), (3, 0.8)):
        if trial_id == 3:
            tuning.start(3)
        assert tuning.report(trial_id, 1, value, 2.0) is not None
    assert tuning.strategy.next_paused(2.0)[0] == 1, "the second of four is as good as the cutoff"
    tuning.start(1)
    assert 1 in tuning.strategy
    assert tuning.strategy.next_paused(2.0) is None
    assert tuning.report(1, 2, math.inf, 3.0) is NOT_FINITE


def test_a_paused_trial_that_ends_is_not_resumed():
    for resumable in (True, False):
        tuning = Tuning()
        tuning.start(0, 1)
        tuning.report(0, 1, 0.5, 1.0)
        tuning.report(1, 1, 0.6, 1.0)
        tuning.strategy.pause(1)
        tuning.strategy.end(1, resumable)
        assert (tuning.strategy.next_weak(1.0) is None) == (not resumable)


def test_the_best_weak_trial_goes_on_where_there_is_nothing_new():
    tuning = Tuning()
    tuning.start(0, 1, 2)
    tuning.report(0, 1, 0.5, 1.0)
    for trial_id, value in ((1, 0.7), (2, 0.6)):
        assert tuning.report(trial_id, 1, value, 1.0) is not None
        tuning.strategy.pause(trial_id)
        tuning.strategy.end(trial_id, resumable=True)
    assert tuning.strategy.next_weak(1.0)[0] == 2
    tuning.start(2)
    assert tuning.report(2, 2, 0.9, 2.0) is None, "it is compared at the next rung only"
    # Trial 2 is ahead of trial 1, which is paused: the devices of a weak one would go to a weaker one.
    assert tuning.report(2, 3, 0.9, 3.0) is None
    tuning.strategy.close()
    assert tuning.strategy.next_weak(3.0) is None
    assert tuning.strategy.next_paused(3.0) is None


def close_with(tuning: Tuning) -> None:
    tuning.start(0, 1)
    assert tuning.report(0, 1, 0.5, 1.0) is None
    tuning.close(100.0)


def test_once_closed_a_weak_trial_is_paused_unless_it_is_the_last():
    tuning = Tuning()
    close_with(tuning)
    assert tuning.report(1, 1, 0.6, 101.0) is not None
    tuning.strategy.end(0, resumable=False)
    assert tuning.report(1, 2, 0.6, 102.0) is None
    assert tuning.strategy.never_resumes(1)


@pytest.mark.parametrize("why", ["no_resize", "closed_early"])
def test_once_closed_no_trial_is_paused_whose_devices_nobody_could_use(why):
    tuning = Tuning()
    tuning.start(0, 1)
    assert tuning.report(0, 1, 0.5, 1.0) is None
    assert not tuning.strategy.never_resumes(1)
    if why == "no_resize":
        tuning.strategy.never_resize()
        tuning.close(100.0)
    else:
        tuning.strategy.close()
    assert tuning.report(1, 1, 0.6, 2.0) is None


def test_pardons_end_when_the_time_is_up():
    tuning = Tuning()
    tuning.start(0, 1, 2)
    tuning.report(0, 1, 0.5, 1.0)
    assert tuning.report(1, 1, 0.6, 1.0) is not None
    tuning.strategy.pause(1)
    tuning.strategy.end(1, resumable=True)
    assert tuning.strategy.next_weak(1.0)[0] == 1
    tuning.start(1)
    assert tuning.report(1, 2, 0.6, 2.0) is None
    tuning.close(100.0)
    assert tuning.report(1, 2, 0.6, 101.0) is not None


def test_devices_are_divided_once_admission_is_closed():
    tuning = Tuning(num_devices=4)
    tuning.start(0, 1)
    tuning.report(0, 1, 0.5, 1.0)
    assert tuning.strategy.resize(0, 1.0) is None
    tuning.strategy.close()
    num_devices, reason = tuning.strategy.resize(0, 50.0)
    assert num_devices == 3
    assert reason.numbers == {
        "from_devices": 1, "to_devices": 3, "rank": 1, "num_live": 2, "speed_up": 3.0, "gain": 3.0,
        "time_left_s": 50.0, "launch_cost_s": 0.0,
    }  # fmt: skip
    assert tuning.strategy.allocation == {0: 3, 1: 1}
    assert tuning.strategy.num_free == 0
    assert tuning.strategy.resize(0, 51.0) is None, "it has them"
    tuning.strategy.set_present(2, 52.0)
    assert tuning.strategy.resize(0, 52.0)[0] == 1
    tuning.strategy.set_present(4, 53.0)
    tuning.strategy.limit(0, 1, most=2)
    tuning.report(0, 2, 0.4, 53.0)
    assert tuning.strategy.resize(0, 53.0)[0] == 2


@pytest.mark.parametrize(("pause_s", "launch_cost_s"), [(2.0, 2.0), (8.0, 5.0)])
def test_a_resize_costs_a_launch_or_what_joining_costs_if_that_is_less(pause_s, launch_cost_s):
    tuning = Tuning(max_t=1000.0)
    tuning.start(0)
    tuning.report(0, 1, 0.5, 6.0, launch=0, signal_to_report_s=6.0, in_place=True)
    tuning.report(0, 3, 0.5, 8.0, launch=0)
    tuning.report(0, 4, 0.5, 10.0, launch=0, resize_pause_s=pause_s)
    tuning.strategy.close()
    _, reason = tuning.strategy.resize(0, 20.0)
    assert reason.numbers["launch_cost_s"] == launch_cost_s


def test_a_later_deadline_opens_admission_again():
    tuning = Tuning()
    close_with(tuning)
    tuning.strategy.resize(0, 90.0)
    assert tuning.strategy.allocation == {0: 3, 1: 1}
    tuning.strategy.set_deadline(150.0, reopen=False)
    assert not tuning.strategy.admission_open
    assert tuning.strategy.allocation == {0: 3, 1: 1}
    tuning.strategy.set_deadline(200.0, reopen=True)
    assert tuning.strategy.admission_open
    assert tuning.strategy.allocation == {0: 1, 1: 1}
    assert tuning.strategy.close_if_due(150.0) is None
    assert tuning.strategy.close_if_due(200.0) is not None
