"""The queue of the next event of each trial."""

from __future__ import annotations

import heapq
import math

from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.backends import LaunchCost
from syne_hypersched.backends.virtual._launcher import VirtualLauncher
from syne_hypersched.backends.virtual._speed import make_speed_up
from syne_hypersched.backends.virtual._trial import Next, VirtualTrial
from syne_hypersched.blackboxes import LearningCurve

COST = LaunchCost(start_s=1, drain_s=2)


def make(cost=COST):
    return VirtualLauncher(make_speed_up("linear", 8), cost, None)


def pop(launcher, time_s):
    """The trial with the next event due by a time, if there is one, as the fleet takes it from the queue."""
    return heapq.heappop(launcher.queue)[3] if launcher.next_s() <= time_s else None


def trial(trial_id=0, epoch_s=4.0, num_epochs=3):
    return VirtualTrial(trial_id, LearningCurve([{}] * num_epochs, [epoch_s] * num_epochs))


def test_an_epoch_ends_after_the_launch_and_its_seconds_on_these_devices():
    launcher, launched = make(), trial()
    launcher.launch(launched, ("a", "b"), 10.0)
    assert launcher.next_s() == 13
    assert pop(launcher, 12.9) is None
    assert pop(launcher, 13) is launched
    assert launched.next is Next.REPORT
    assert launcher.next_s() == math.inf


def test_a_drain_takes_the_place_of_the_report():
    launcher, launched = make(), trial()
    launcher.launch(launched, ("a",), 0.0)
    launcher.drain(launched, 4.0, math.inf)
    assert launcher.next_s() == 6
    assert pop(launcher, 6) is launched
    assert (launched.next, launched.killed) == (Next.EXIT, False)
    assert pop(launcher, 1e9) is None


def test_a_drain_that_is_too_late_is_cut():
    launcher, launched = make(), trial()
    launcher.launch(launched, ("a",), 0.0)
    launcher.drain(launched, 4.0, 5.0)
    assert launcher.next_s() == 5
    assert launched.killed


def test_a_trial_without_epochs_left_completes_after_its_launch():
    launcher, launched = make(), trial()
    launched.num_trained = 3
    launcher.launch(launched, ("a",), 0.0)
    assert pop(launcher, 1) is launched
    assert launched.next is Next.COMPLETE


@given(st.lists(st.sampled_from([1.0, 2.0, 3.0]), min_size=1, max_size=20))
def test_events_come_by_time_and_then_by_launch(epochs_s):
    launcher = make(LaunchCost())
    trials = [trial(trial_id, epoch_s) for trial_id, epoch_s in enumerate(epochs_s)]
    for launched in reversed(trials):
        launcher.launch(launched, ("a",), 0.0)
    popped = [pop(launcher, 1e9) for _ in trials]
    assert [one.trial_id for one in popped] == sorted(range(len(trials)), key=lambda i: (epochs_s[i], -i))
