"""The last stretch of the adaptive strategy, decision by decision, on values alone."""

from __future__ import annotations

import pytest

from syne_hypersched.allocation.scaling import LinearScaling, Scaling, TableScaling
from syne_hypersched.allocation.timing import TimedReport, TrialTimes
from syne_hypersched.schedulers.hypersched._adaptive import AdaptiveStrategy
from syne_hypersched.schedulers.hypersched._options import Adaptive
from syne_hypersched.schedulers.hypersched._pausing import PausingHalving

MAX_T = 1000
DEADLINE_S = 100.0


class Search:
    """Trials of one epoch a second on four devices. The last stretch begins at 50 s; from 75 s on one survivor is left.

    Parameters
    ----------
    scaling
        Speed-ups; by default they are linear, and ``"learnt"`` learns them.
    launch_cost_s
        What a launch costs, as measured with a trial that has ended.
    """

    def __init__(
        self,
        scaling: Scaling | str | None = None,
        launch_cost_s: float = 0.0,
        policy="uniform",
        options: Adaptive = Adaptive(),  # noqa: B008 (frozen)
    ) -> None:
        self.times = TrialTimes()
        scaling = LinearScaling() if scaling is None else self.times.learnt if scaling == "learnt" else scaling
        halving = PausingHalving(MAX_T, first_rung=MAX_T)  # no rung
        self.strategy = AdaptiveStrategy(self.times, scaling, halving, 4, DEADLINE_S, MAX_T, policy, None, options)
        self.epochs: dict[int, int] = {}
        self.start(99, 0.0)
        self.report(99, 0.9, now_s=1.0, launch=0, signal_to_report_s=1.0 + launch_cost_s)
        self.report(99, 0.9, now_s=2.0, launch=0)
        self.end(99, 2.0, resumable=False)

    def start(self, trial_id: int, now_s: float) -> None:
        self.strategy.begin(trial_id)
        self.times.start(trial_id, now_s)

    def report(self, trial_id: int, value: float, now_s: float, **members):
        """Whether the trial is weak, and why, as the scheduler asks."""
        epoch = self.epochs[trial_id] = self.epochs.get(trial_id, 0) + 1
        self.times.report(trial_id, TimedReport(epoch, now_s, **members), now_s)
        self.strategy.close_if_due(now_s)
        return self.strategy.report(trial_id, epoch, value, now_s)

    def resize(self, trial_id: int, now_s: float) -> int | None:
        resize = self.strategy.resize(trial_id, now_s)
        return None if resize is None else resize[0]

    def end(self, trial_id: int, now_s: float, resumable: bool) -> None:
        self.strategy.end(trial_id, resumable)
        self.times.end(trial_id, now_s, resumable)


def test_survivors_are_ranked_by_their_best_values_and_not_by_their_last_ones():
    search = Search()
    for trial_id, value in ((0, 0.1), (1, 0.5)):
        search.start(trial_id, 2.0)
        search.report(trial_id, value, 3.0)
    search.report(0, 0.8, 51.0)  # the last stretch has begun
    assert not search.strategy.admission_open
    weak = search.report(1, 0.5, 81.0)
    assert weak is not None
    assert weak.numbers["rank"] == 2
    assert search.report(0, 0.9, 82.0) is None


def test_with_unknown_scaling_one_trial_at_a_time_grows():
    search = Search(scaling="learnt")
    for now_s in (3.0, 4.0):
        for trial_id in (0, 1):
            if now_s == 3.0:
                search.start(trial_id, 2.0)
            search.report(trial_id, 0.1 + trial_id, now_s)
    for trial_id in (0, 1):
        assert search.report(trial_id, 0.1 + trial_id, 60.0) is None
    assert search.strategy.num_free == 2
    assert search.resize(0, 60.0) == 2  # the probe
    assert search.resize(1, 60.0) is None
    # Once the first has shown what two devices are worth, the other grows as well.
    search.times.learnt.observe(0, 2, 0.5)
    assert search.resize(1, 61.0) == 2


@pytest.mark.parametrize(("left_s", "expected"), [(20.0, 4), (6.0, 4), (5.0, None), (4.0, None), (0.0, None)])
def test_a_survivor_grows_only_where_the_relaunch_pays(left_s, expected):
    # On four devices it makes 4 * (left - 4) epochs, on the one that it has as many as seconds are left.
    search = Search(launch_cost_s=4.0)
    search.start(0, 2.0)
    search.report(0, 0.1, 3.0)
    search.report(0, 0.1, 51.0)  # the last stretch has begun
    now_s = DEADLINE_S - left_s
    assert search.report(0, 0.1, now_s) is None
    assert search.resize(0, now_s) == expected


@pytest.mark.parametrize("policy", ["uniform", "top_job"])
def test_a_device_is_kept_for_a_survivor_that_is_paused(policy):
    search = Search(policy=policy)
    search.start(0, 2.0)
    search.report(0, 0.2, 3.0)
    search.end(0, 3.0, resumable=True)
    for trial_id, value in ((1, 0.1), (2, 0.7), (3, 0.8)):
        search.start(trial_id, 3.0)
        search.report(trial_id, value, 4.0)
    # Three hold a device each, two of which are weak but have not reported since; the fourth is for trial 0.
    assert search.report(1, 0.1, 60.0) is None
    assert search.resize(1, 60.0) is None
    resumed = search.strategy.next_paused(60.0)
    assert resumed is not None
    assert resumed[0] == 0
    search.start(0, 60.0)
    for trial_id in (2, 3):
        assert search.report(trial_id, 0.6, 61.0) is not None
        search.end(trial_id, 61.0, resumable=True)
    assert search.resize(1, 62.0) == (2 if policy == "uniform" else 3)


def test_a_survivor_skips_sizes_that_are_no_faster():
    search = Search(scaling=TableScaling({1: 1, 2: 2, 3: 1.5, 4: 4}))
    search.start(0, 2.0)
    search.report(0, 0.1, 3.0)
    for trial_id in (1, 2):  # leave one device free
        search.start(trial_id, 3.0)
        search.report(trial_id, 0.5, 4.0)
    assert search.report(0, 0.1, 80.0) is None
    assert search.resize(0, 80.0) == 2
    search.end(1, 81.0, resumable=False)
    assert search.resize(0, 81.0) is None  # three would be slower than two
    search.end(2, 82.0, resumable=False)
    assert search.resize(0, 82.0) == 4


def test_a_last_stretch_is_planned_anew_when_devices_go_and_when_they_come_back():
    search = Search()
    for trial_id in range(2):
        search.start(trial_id, 2.0)
        search.report(trial_id, 0.1 + trial_id, 3.0)
    assert [search.report(trial_id, 0.1 + trial_id, 55.0) for trial_id in range(2)] == [None, None]
    assert [search.resize(trial_id, 55.0) for trial_id in range(2)] == [2, 2]
    search.strategy.set_present(2, 56.0)
    assert search.resize(0, 57.0) is None
    assert search.report(1, 1.1, 57.0) is not None, "on two devices there is one survivor"
    search.end(1, 57.0, resumable=True)
    assert search.resize(0, 58.0) is None
    search.strategy.set_present(4, 60.0)
    assert search.strategy.next_paused(60.0)[0] == 1, "there is room for two again"
    search.start(1, 60.0)
    assert search.strategy.allocation == {0: 2, 1: 1}
    search.report(1, 1.1, 61.0)
    assert search.resize(1, 61.0) == 2


def test_a_trial_that_holds_more_than_its_share_of_what_is_left_shrinks():
    search = Search()
    search.start(0, 2.0)
    search.report(0, 0.1, 3.0)
    search.report(0, 0.1, 80.0)
    assert search.resize(0, 80.0) == 4
    search.strategy.set_present(1, 81.0)
    assert search.resize(0, 81.0) == 1
    assert search.strategy.num_free == 3, "of all devices"
    search.strategy.set_present(0, 82.0)
    assert search.resize(0, 82.0) is None
    search.strategy.set_present(4, 83.0)
    assert search.resize(0, 83.0) == 4


def test_the_last_stretch_begins_by_the_devices_that_are_there():
    search = Search(scaling=TableScaling({1: 1, 2: 2, 4: 4}))
    search.strategy.set_present(2, 2.0)
    search.start(0, 2.0)
    search.report(0, 0.1, 60.0)
    assert search.strategy.admission_open, "with two devices it would not pay"
    search.strategy.set_present(4, 61.0)
    search.report(0, 0.1, 62.0)
    assert not search.strategy.admission_open


@pytest.mark.parametrize("policy", ["uniform", "top_job", "goodput"])
def test_once_nothing_starts_more_trials_than_devices_hold_one_each(policy):
    search = Search(policy=policy)
    for trial_id in range(3):
        search.start(trial_id, 2.0)
        search.report(trial_id, 0.1 + trial_id, 3.0)
    search.strategy.close()
    search.strategy.set_present(2, 4.0)
    assert [search.resize(trial_id, 5.0) for trial_id in range(3)] == [None] * 3


def test_what_is_known_beforehand_of_the_devices_decides_when_the_last_stretch_begins():
    def begins(**options):
        search = Search(scaling=TableScaling({1: 1, 2: 2, 4: 4}), options=Adaptive(**options))
        search.start(0, 2.0)
        search.report(0, 0.1, 60.0)
        return not search.strategy.admission_open

    assert begins()
    assert not begins(devices_over_time=[(70, 1)]), "it would not pay on what will be there"
    assert begins(devices_over_time=[(10, 1), (50, 4)])


def test_a_trial_grows_only_to_a_number_of_devices_that_is_usable():
    # Three devices are slower than two.
    scaling = TableScaling({1: 1, 2: 1.6, 3: 1.5, 4: 4})
    search = Search(scaling=scaling)
    for trial_id in (0, 1):
        search.start(trial_id, 2.0)
        search.report(trial_id, 0.1 + trial_id, 3.0)
    search.report(0, 0.1, 51.0)  # the last stretch has begun
    search.report(0, 0.1, 80.0)  # one survivor is left, and the other trial still holds a device
    assert search.strategy.num_free == 2
    assert search.resize(0, 80.0) == 2


def test_paused_survivors_are_remembered_when_the_last_stretch_is_planned_anew():
    search = Search()
    for trial_id in (0, 1):
        search.start(trial_id, 2.0)
        search.report(trial_id, 0.1 + trial_id, 3.0)
    search.end(0, 4.0, resumable=True)
    search.report(1, 1.1, 51.0)  # the last stretch has begun
    assert search.strategy.next_paused(52.0)[0] == 0
    search.strategy.set_present(3, 53.0)
    assert search.strategy.next_paused(54.0)[0] == 0
    assert not search.strategy.never_resumes(0)
