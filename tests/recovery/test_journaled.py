from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer.scheduler import TrialSuggestion

from syne_hypersched.backends.shared.elastic import ElasticTrial
from syne_hypersched.contract import Situation
from syne_hypersched.recovery._journaled import JournaledScheduler, describe, described
from syne_hypersched.recovery._replay_state import ReplayState
from syne_hypersched.recovery._ticks import Ticks


class Scripted:
    """A scheduler that decides what a function says."""

    random_seed = 7

    def __init__(self, decide=lambda trial, result: "CONTINUE"):
        self.decide = decide
        self.suggestions = []
        self.asked = 0
        self.raises = None

    def suggest(self):
        self.asked += 1
        return self.suggestions.pop(0) if self.suggestions else None

    def on_trial_result(self, trial, result):
        return self.decide(trial, result)

    def on_trial_add(self, trial):
        self._look()

    def on_trial_remove(self, trial):
        self._look()

    def on_trial_error(self, trial):
        self._look()

    def on_trial_complete(self, trial, result):
        self._look()

    def _look(self):
        if self.raises is not None:
            raise self.raises

    def metric_names(self):
        return ("loss",)

    def metric_mode(self):
        return "max"

    def metadata(self):
        return {"a": 1}


def make(decide=lambda trial, result: "CONTINUE"):
    """A journaled scheduler, the scheduler, its ticks and the entries."""
    entries: list = []
    ticks = Ticks()
    moments = iter(range(1, 100))
    ticks._source = lambda: float(next(moments))
    scheduler = Scripted(decide)
    return JournaledScheduler(scheduler, ticks, entries.append), scheduler, entries


def elastic(backend: ReplayState) -> ElasticTrial:
    return backend.add({"trial_id": 0, "config": {"x": 1}, "created": "2026-01-02T03:04:05"})


PLAIN = Trial(3, {"x": 1}, datetime(2026, 1, 2))


def test_suggestions_are_recorded_until_there_is_none():
    journaled, scheduler, entries = make()
    scheduler.suggestions = [TrialSuggestion.start_suggestion({"x": 1}), TrialSuggestion.resume_suggestion(4)]
    suggested = [journaled.suggest() for _ in range(4)]
    assert [each is None for each in suggested] == [False, False, True, True]
    assert entries == [
        {"call": "suggest", "time_s": 1.0, "what": "start", "from_trial_id": None, "config": {"x": 1}},
        {"call": "suggest", "time_s": 2.0, "what": "resume", "from_trial_id": 4, "config": None},
        {"call": "suggest", "time_s": 3.0, "what": "nothing"},
    ]
    assert scheduler.asked == 3, "a scheduler that has nothing more is not asked again"


def test_calls_about_a_trial_are_recorded_in_order():
    journaled, _, entries = make()
    journaled.on_trial_add(PLAIN)
    assert journaled.on_trial_result(PLAIN, {"epoch": 1}) == "CONTINUE"
    journaled.on_trial_remove(PLAIN)
    journaled.on_trial_complete(PLAIN, {"epoch": 1})
    PLAIN.status = "Stopping"
    journaled.on_trial_error(PLAIN)
    assert entries == [
        {"call": "add", "time_s": 1.0, "trial_id": 3, "config": {"x": 1}, "created": "2026-01-02T00:00:00"},
        {"call": "result", "time_s": 2.0, "trial_id": 3, "report": {"epoch": 1}, "decision": "CONTINUE"},
        {"call": "remove", "time_s": 3.0, "trial_id": 3},
        {"call": "complete", "time_s": 4.0, "trial_id": 3},
        {"call": "error", "time_s": 5.0, "trial_id": 3, "status": "Stopping"},
    ]


def test_what_the_scheduler_adds_to_a_report_is_recorded_apart():
    def decide(trial, result):
        result |= {"epoch": 2, "open": True}
        return "PAUSE"

    journaled, _, entries = make(decide)
    assert journaled.on_trial_result(PLAIN, {"epoch": 1, "loss": 0.5}) == "PAUSE"
    (entry,) = entries
    assert entry["report"] == {"epoch": 1, "loss": 0.5}
    assert entry["added"] == {"epoch": 2, "open": True}


def test_devices_are_recorded_when_they_are_news_and_the_last_wish_counts():
    def decide(trial, result):
        if result["epoch"] == 2:
            trial.resize(2)
            trial.resize(3)
            assert trial.num_devices == 3
        return "CONTINUE"

    journaled, _, entries = make(decide)
    backend = ReplayState()
    trial = elastic(backend)
    for epoch in (1, 2, 3):
        journaled.on_trial_result(trial, {"epoch": epoch})
    assert trial.backend is backend
    assert backend.num_devices == {0: 3}
    backend.most_devices[0] = 2
    journaled.on_trial_result(trial, {"epoch": 4})
    assert [entry.get("devices") for entry in entries] == [(1, None), None, None, (3, 2)]
    assert [entry.get("num_devices") for entry in entries] == [None, 3, None, None]


@pytest.mark.parametrize("call", ["add", "remove", "error", "complete"])
def test_an_error_of_the_scheduler_is_recorded_and_raised(call):
    journaled, scheduler, entries = make()
    scheduler.raises = ValueError("two\n  lines")
    with pytest.raises(ValueError, match="two"):
        {
            "add": lambda: journaled.on_trial_add(PLAIN),
            "remove": lambda: journaled.on_trial_remove(PLAIN),
            "error": lambda: journaled.on_trial_error(PLAIN),
            "complete": lambda: journaled.on_trial_complete(PLAIN, {}),
        }[call]()
    assert [(entry["call"], entry["raised"]) for entry in entries] == [(call, "ValueError: two lines")]
    entries.clear()
    scheduler.raises = OSError("the disk is full")
    with pytest.raises(OSError):
        journaled.on_trial_remove(PLAIN)
    assert entries == [], "a fault of the machine is no fault of what the scheduler was told"


def test_a_trial_whose_reports_raise_again_after_a_resume_is_stopped():
    def decide(trial, result):
        trial.resize(2)
        raise KeyError("loss")

    journaled, _, entries = make(decide)
    trial = elastic(ReplayState())
    with pytest.raises(KeyError):
        journaled.on_trial_result(trial, {"epoch": 1})
    journaled.go_on([], None, exhausted=False, have_raised=[0])
    assert journaled.on_trial_result(trial, {"epoch": 1}) == "STOP"
    assert [(entry.get("decision"), entry["raised"], entry["num_devices"]) for entry in entries] == [
        (None, "KeyError: 'loss'", 2), ("STOP", "KeyError: 'loss'", 2),
    ]  # fmt: skip


def test_what_the_backend_was_told_is_recorded_when_it_is_news():
    journaled, _, entries = make()
    backend = ReplayState(situation=Situation(4, 60.0))
    trial = elastic(backend)
    for deadline_s in (60.0, 60.0, 90.0):
        backend.situation.deadline_s = deadline_s
        journaled.on_trial_result(trial, {"epoch": 1})
    assert [entry.get("situation") for entry in entries] == [(4, 60.0), None, (4, 90.0)]


def test_what_a_scheduler_tells_its_backend_reaches_it():
    told = []

    class Backend(ReplayState):
        def follow(self, time_attr):
            told.append(time_attr)

        def measure(self, metric, do_minimize):
            told.append((metric, do_minimize))

        def publish(self, trial_id, result):
            told.append((trial_id, result))

        def note(self, *what):
            told.append(what)

        def end_at(self, *what):
            told.append(what)

    def decide(trial, result):
        assert trial.num_devices_total == 4
        trial.follow("epoch")
        trial.measure("loss", True)
        trial.publish({"loss": 1})
        trial.note("resize", "why", {})
        trial.end_at({"loss": 2})
        return "CONTINUE"

    journaled, _, _ = make(decide)
    journaled.on_trial_result(elastic(Backend(situation=Situation(4))), {"epoch": 1})
    assert told == ["epoch", ("loss", True), (0, {"loss": 1}), (0, "resize", "why", {}), (0, {"loss": 2})]


def test_the_rest_is_the_schedulers():
    journaled, scheduler, _ = make()
    assert journaled.metric_names() == ["loss"]
    assert journaled.metric_mode() == "max"
    assert journaled.metadata() == {"a": 1}
    assert journaled.random_seed == 7
    scheduler.time_attr = "epoch"
    assert journaled.time_attr == "epoch"
    with pytest.raises(AttributeError):
        _ = journaled.unknown
    with pytest.raises(AttributeError):
        _ = JournaledScheduler.__new__(JournaledScheduler).anything


def test_what_comes_first_after_a_resume_is_not_asked_of_the_scheduler():
    recorded = []
    journaled = JournaledScheduler(Scripted(), Ticks(), recorded.append)
    pending = described({"what": "start", "from_trial_id": None, "config": {"x": 1}})
    journaled.go_on([4, 2], pending, exhausted=True)
    first, second, third = (journaled.suggest() for _ in range(3))
    assert (first.checkpoint_trial_id, second.checkpoint_trial_id, third) == (4, 2, pending)
    assert journaled.suggest() is None
    assert recorded == []


@given(what=st.sampled_from(["start", "resume"]), trial_id=st.integers(0, 9), config=st.just({"x": 0.5}) | st.none())
def test_a_suggestion_comes_back(what, trial_id, config):
    entry = {"what": what, "from_trial_id": trial_id, "config": config}
    assert describe(described(entry)) == entry
