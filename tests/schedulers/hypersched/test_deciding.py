"""What becomes of the decisions of a strategy, which is scripted here: what Syne Tune is told, and what is logged."""

from __future__ import annotations

import math
from datetime import datetime

import pytest
from syne_tune.backend.trial_status import Status, Trial

from syne_hypersched import Adaptive, HyperSched, PublishedRules
from syne_hypersched.backends.shared.elastic import ElasticTrial
from syne_hypersched.contract import ST_DEVICES_PRESENT
from syne_hypersched.recovery._replay_state import ReplayState
from syne_hypersched.schedulers._reasons import because
from syne_hypersched.schedulers.hypersched._strategy import Strategy
from tests.schedulers.families import SPACE, Listed

DEADLINE_S, MAX_T = 100.0, 9


class Scripted(Strategy):
    """Answers as a test says, and notes what it is told."""

    def __init__(self):
        self.live = {}
        self.admission_open = True
        self.paused = self.weak = None
        self.closes = self.judges = self.resizes = None
        self.stretch = None
        self.told = []

    admission_open = None  # of each object

    def __contains__(self, trial_id):
        return trial_id in self.live

    @property
    def allocation(self):
        return dict(self.live)

    @property
    def num_free(self):
        return 2 - len(self.live)

    def begin(self, trial_id):
        self.live[trial_id] = 1

    def end(self, trial_id, resumable):
        self.live.pop(trial_id, None)
        self.told.append(("end", trial_id, resumable))

    def close(self):
        self.admission_open = False

    def close_if_due(self, now_s):
        if self.closes is not None:
            self.close()
        closes, self.closes = self.closes, None
        return closes

    def admission(self, now_s):
        return because("open")

    def next_paused(self, now_s):
        return self.paused

    def next_weak(self, now_s):
        return self.weak

    def report(self, trial_id, resource, value, now_s):
        return self.judges

    def pause(self, trial_id):
        self.told.append(("pause", trial_id))

    def resize(self, trial_id, now_s):
        return self.resizes

    def never_resumes(self, trial_id):
        return not self.admission_open

    def limit(self, trial_id, num_devices, most):
        self.told.append(("limit", trial_id, num_devices, most))

    def never_resize(self):
        self.told.append(("never_resize",))

    def set_present(self, num_devices, now_s):
        self.told.append(("present", num_devices))

    def set_deadline(self, deadline_s, reopen):
        self.told.append(("deadline", deadline_s, reopen))

    def stretch_s(self, now_s):
        return self.stretch


class Tuning:
    """A scheduler with a scripted strategy and a clock, and trials of a backend that can resize them."""

    def __init__(self, **options):
        self.now_s = 0.0
        self.scheduler = HyperSched(
            SPACE, "loss", "epoch", MAX_T, 2, DEADLINE_S, searcher=Listed(), clock=lambda: self.now_s, **options
        )
        self.strategy = self.scheduler._strategy = Scripted()
        self.backend = ReplayState()

    def add(self, trial_id, num_devices=1) -> ElasticTrial:
        self.backend.num_devices[trial_id] = num_devices
        trial = ElasticTrial(
            trial_id, {"x": 1.0}, datetime(2026, 1, 1), [], Status.in_progress, backend=self.backend
        )  # fmt: skip
        self.scheduler.on_trial_add(trial)
        return trial

    def report(self, trial, epoch, loss, **entries):
        result = {"epoch": epoch, "loss": loss, **entries}
        return self.scheduler.on_trial_result(trial, result), result

    @property
    def log(self):
        return [(each.what, each.trial_id, each.reason) for each in self.scheduler.decisions]


def test_a_paused_trial_goes_on_before_anything_new_starts():
    tuning = Tuning()
    tuning.strategy.paused = (5, because("it is good"))
    suggestion = tuning.scheduler.suggest()
    assert (suggestion.spawn_new_trial_id, suggestion.checkpoint_trial_id) == (False, 5)
    assert tuning.strategy.live == {5: 1}
    tuning.strategy.paused = None
    assert tuning.scheduler.suggest().config == {"x": 2}
    assert tuning.log == [("resume", 5, "it is good")]


def test_weak_trials_go_on_when_there_is_nothing_new_and_then_admission_closes():
    tuning = Tuning()
    for x in (2, 0, 3, 1):
        assert tuning.scheduler.suggest().config == {"x": x}
    tuning.strategy.weak = (5, because("nothing new"))
    assert tuning.scheduler.suggest().checkpoint_trial_id == 5
    tuning.strategy.weak = None
    assert tuning.scheduler.suggest() is None
    assert not tuning.scheduler.admission_open
    assert [entry[:2] for entry in tuning.log] == [("resume", 5), ("close", None)]
    assert "the searcher has no further configuration" in tuning.log[-1][2]


def test_admission_closes_when_the_strategy_says_so():
    tuning = Tuning()
    tuning.strategy.closes = because("10 s are left")
    assert tuning.scheduler.suggest() is None
    assert tuning.log == [("close", None, "10 s are left")]
    assert [decision.num_devices for decision in tuning.scheduler.decisions] == [0]
    assert tuning.scheduler.suggest() is None
    assert len(tuning.log) == 1


def test_a_good_trial_goes_on_as_it_is():
    tuning = Tuning()
    trial = tuning.add(0)
    tuning.now_s = 5.0
    decision, result = tuning.report(trial, 1, 0.5)
    assert decision == "CONTINUE"
    assert result["st_admission_open"] is True
    assert tuning.backend.num_devices == {0: 1}
    assert tuning.scheduler.incumbent.value == 0.5
    assert tuning.log == [("start", 0, "")]


@pytest.mark.parametrize(
    ("strategy", "decision", "resumable"),
    [
        (Adaptive(), "PAUSE", True), (PublishedRules(), "PAUSE", True),
        (PublishedRules(use_pausing=False), "STOP", False),
    ],
)  # fmt: skip
def test_a_weak_trial_is_paused_unless_pausing_is_off(strategy, decision, resumable):
    tuning = Tuning(strategy=strategy)
    trial = tuning.add(0)
    tuning.strategy.judges = because("rank 2 of 2")
    assert tuning.report(trial, 1, 0.5)[0] == decision
    assert tuning.log[-1] == (decision.lower(), 0, "rank 2 of 2")
    assert tuning.strategy.told == [("pause", 0)] * resumable + [("end", 0, resumable)]
    assert tuning.scheduler.trials_checkpoints_can_be_removed() == ([] if resumable else [0])


def test_a_trial_without_a_finite_value_is_paused_for_good():
    tuning = Tuning()
    trial = tuning.add(0)
    tuning.strategy.judges = because("its metric is not a finite number")
    assert tuning.report(trial, 1, math.nan)[0] == "PAUSE"
    assert ("pause", 0) not in tuning.strategy.told
    assert tuning.scheduler.trials_checkpoints_can_be_removed() == [0]
    assert tuning.scheduler.incumbent is None


@pytest.mark.parametrize(
    ("epoch", "now_s", "reason"), [(MAX_T, 5.0, "trained to the end"), (2, DEADLINE_S + 1, "the deadline has passed")]
)
def test_a_trial_stops_at_its_end_and_at_the_deadline(epoch, now_s, reason):
    tuning = Tuning()
    trial = tuning.add(0)
    tuning.strategy.resizes = (2, because("never"))
    tuning.now_s = now_s
    assert tuning.report(trial, epoch, 0.5)[0] == "STOP"
    assert tuning.log[-1] == ("stop", 0, reason)
    assert tuning.strategy.told == [("end", 0, False)]
    assert (tuning.scheduler.incumbent is None) == (now_s > DEADLINE_S), "what comes later does not count"
    assert tuning.backend.num_devices == {0: 1}


def test_a_report_that_was_on_its_way_changes_nothing():
    tuning = Tuning()
    trial = tuning.add(0)
    tuning.strategy.end(0, True)
    tuning.strategy.told.clear()
    assert tuning.report(trial, 1, 0.5)[0] == "PAUSE"
    assert tuning.strategy.told == []
    assert tuning.scheduler.incumbent is None


def test_the_searcher_is_told_of_every_report():
    tuning = Tuning()
    trial = tuning.add(0)
    tuning.report(trial, 1, 0.5)
    tuning.report(trial, 2, 0.4)
    assert tuning.scheduler.searcher.told == [(0, 0.5), (0, 0.4)]


def test_a_resize_is_ordered_and_logged():
    tuning = Tuning()
    trial = tuning.add(0)
    tuning.strategy.resizes = (2, because("it pays", gain=1.5))
    assert tuning.report(trial, 1, 0.5)[0] == "CONTINUE"
    assert tuning.backend.num_devices == {0: 2}
    (resize,) = [each for each in tuning.scheduler.decisions if each.what == "resize"]
    assert (resize.num_devices, dict(resize.numbers)) == (2, {"gain": 1.5})


def test_trials_of_a_backend_that_cannot_resize_stay_as_they_are(caplog):
    tuning = Tuning()
    trial = Trial(0, {"x": 1.0}, datetime(2026, 1, 1))
    tuning.scheduler.on_trial_add(trial)
    tuning.strategy.resizes = (2, because("it pays"))
    for epoch in (1, 2):
        assert tuning.report(trial, epoch, 0.5)[0] == "CONTINUE"
    assert tuning.strategy.told == [("never_resize",)]
    assert caplog.text.count("trials of this backend cannot be resized") == 1


def test_what_the_backend_says_reaches_the_strategy():
    tuning = Tuning()
    trial = tuning.add(0)
    tuning.report(trial, 1, 0.5, st_devices_present=1)
    tuning.backend.most_devices[0] = 1
    tuning.report(trial, 2, 0.5, st_devices_present=1)
    assert tuning.strategy.told == [("present", 1), ("limit", 0, 1, 1)]


def test_a_backend_must_start_trials_on_one_device():
    with pytest.raises(ValueError, match="num_devices_per_trial=1, but trial 0 was started on 2"):
        Tuning().add(0, num_devices=2)


def test_a_trial_ends_by_itself_or_fails_or_is_taken_away():
    tuning = Tuning()
    first, second = tuning.add(0), tuning.add(1)
    tuning.scheduler.on_trial_complete(first, {"epoch": 1, "loss": 0.5})
    tuning.scheduler.on_trial_error(second)
    third = tuning.add(2)
    tuning.scheduler.on_trial_remove(third)
    tuning.scheduler.on_trial_remove(third)
    assert tuning.strategy.told == [("end", 0, False), ("end", 1, False), ("end", 2, True)]
    assert sorted(tuning.scheduler.trials_checkpoints_can_be_removed()) == [0, 1]


def test_a_script_that_has_ended_is_warned_of_where_its_level_never_changed(caplog):
    tuning = Tuning()
    trial = tuning.add(0)
    for _ in range(3):
        _, result = tuning.report(trial, 1, 0.5)
    tuning.scheduler.on_trial_complete(trial, result)
    assert "trial 0 has ended after 3 reports, all of them with epoch=1" in caplog.text


def test_once_closed_paused_trials_are_given_up():
    tuning = Tuning()
    trials = [tuning.add(0), tuning.add(1)]
    tuning.strategy.judges = because("weak")
    tuning.report(trials[0], 1, 0.5)
    tuning.strategy.closes = because("late")
    tuning.strategy.judges = None
    tuning.report(trials[1], 1, 0.4)
    assert tuning.strategy.told[-1] == ("end", 0, False)
    assert tuning.scheduler.trials_checkpoints_can_be_removed() == [0]


def test_more_paused_trials_than_may_be_resumed_lose_the_weakest():
    tuning = Tuning(max_paused=1)
    trials = [tuning.add(0), tuning.add(1)]
    tuning.strategy.judges = because("weak")
    for trial, loss in zip(trials, (0.9, 0.5), strict=True):
        tuning.report(trial, 1, loss)
    assert tuning.strategy.told[-1] == ("end", 0, False)
    assert tuning.scheduler.trials_checkpoints_can_be_removed() == [0]


def test_a_budget_brings_the_end_forward():
    tuning = Tuning(strategy=Adaptive(budget_device_hours=20 / 3600))
    assert tuning.scheduler.suggest() is not None
    trial = tuning.add(0)
    for epoch, now_s in ((1, 4.0), (2, 8.0)):
        tuning.now_s = now_s
        assert tuning.report(trial, epoch, 0.5)[0] == "CONTINUE"
    *_, (_, end_s, reopens) = [told for told in tuning.strategy.told if told[0] == "deadline"]
    # Of 20 s 8 are spent. Both devices may be held from now on.
    assert end_s == pytest.approx(8.0 + 12 / 2)
    assert reopens is False
    assert tuning.scheduler.suggest() is not None
    tuning.now_s = 12.5
    assert tuning.scheduler.suggest() is None, "what starts now would not report before the end"
    assert tuning.report(trial, 3, 0.5)[0] == "STOP"
    assert tuning.log[-1][2].endswith("device-hours are spent, and more would not pay")


def test_devices_that_are_not_there_cost_nothing():
    tuning = Tuning(strategy=Adaptive(budget_device_hours=20 / 3600))
    trial = tuning.add(0)
    tuning.strategy.live[0] = 2  # as it was asked to go on, before one of them went
    for epoch, now_s in ((1, 4.0), (2, 8.0)):
        tuning.now_s = now_s
        tuning.report(trial, epoch, 0.5, **{ST_DEVICES_PRESENT: 1})
    *_, (_, end_s, _) = [told for told in tuning.strategy.told if told[0] == "deadline"]
    assert end_s == pytest.approx(8.0 + (20 - 4) / 1)


@pytest.mark.parametrize(("stretch_s", "end_s"), [(5.0, 9.0), (0.0, 4.0), (None, DEADLINE_S)])
def test_the_search_ends_after_a_last_stretch_where_going_on_does_not_pay(stretch_s, end_s):
    tuning = Tuning(strategy=Adaptive(min_gain=0.1))
    trial = tuning.add(0)
    tuning.scheduler._spending.no_longer_pays = lambda least_window_s: True
    tuning.strategy.stretch = stretch_s
    tuning.now_s = 4.0
    tuning.report(trial, 1, 0.5)
    assert [told for told in tuning.strategy.told if told[0] == "deadline"] == [("deadline", end_s, False)]


def test_a_report_at_the_deadline_counts():
    tuning = Tuning()
    trial = tuning.add(0)
    tuning.now_s = DEADLINE_S
    assert tuning.report(trial, 1, 0.5)[0] == "CONTINUE"
    assert tuning.scheduler.incumbent.value == 0.5


def test_the_devices_of_trials_that_a_new_tuner_has_forgotten_are_free():
    tuning = Tuning()
    tuning.add(0)
    tuning.add(1)
    tuning.scheduler.__setstate__(dict(tuning.scheduler.__dict__))
    tuning.add(2)
    assert tuning.strategy.live == {2: 1}


def test_time_that_nobody_uses_is_spoken_of(caplog):
    tuning = Tuning()
    trial = tuning.add(0)
    tuning.strategy.closes = because("it is late")
    assert tuning.scheduler.suggest() is None
    assert "stay unused" not in caplog.text, "a trial runs"
    tuning.now_s = 40.0
    tuning.scheduler.on_trial_complete(trial, {"epoch": 1, "loss": 0.5})
    assert "60 s of 100 s stay unused: no trial runs any more, and none is started or resumed because it is late" in (
        caplog.text
    )
