"""HyperSched and its deadline: cold starts, unused time, messages about it, and a later deadline."""

from __future__ import annotations

import math
from datetime import datetime

import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend.trial_status import Status, Trial
from syne_tune.tuning_status import TuningStatus

from syne_hypersched import Deadline, ElasticPythonBackend, HyperSched, Journal, PublishedRules, simulate
from syne_hypersched.backends.shared.elastic import ElasticTrial
from syne_hypersched.experiments import QuietTunerLogger, check_run, load_run
from syne_hypersched.recovery import resume_experiment
from tests.schedulers.families import SPACE, Curves, Listed, with_rules


def make(strategy="published", **arguments):
    arguments = {
        "max_t": 200, "num_devices": 2, "deadline_s": 60.0, "scaling": {1: 1, 8: 5.6}, "random_seed": 0, **arguments,
    }  # fmt: skip
    max_t = arguments.pop("max_t")
    return HyperSched(SPACE, "loss", "epoch", max_t, **with_rules({"strategy": strategy, **arguments}))


class Cold(Curves):
    """Epochs of a second, the first one of the first trials takes 19: imports, data, compilation."""

    def __init__(self, num_cold=2, **arguments):
        super().__init__(range(1, 201), **arguments)
        self.num_cold = num_cold

    def learning_curve(self, config, max_resource=None, seed=0):
        curve = super().learning_curve(config, max_resource, seed)
        if self.num_cold == 0:
            return curve
        self.num_cold -= 1
        return type(curve)(curve.reports, (19.0, *curve.epoch_s[1:]))


def test_a_cold_first_epoch_closes_no_admission():
    """Without the rule, two thirds of 60 s were unused, with the two trials that existed after 19 s."""
    scheduler = make()
    simulation = simulate(scheduler, Cold(), num_devices=2, deadline_s=60.0)
    assert scheduler.explain().admission_closed_s >= 24
    assert simulation.num_trials > 2
    assert simulation.results.st_tuner_time.max() > 55


def test_the_rule_is_the_papers_where_nothing_was_cold():
    """A new trial needs four times the longest one so far."""
    scheduler = make()
    simulate(scheduler, Cold(0), num_devices=2, deadline_s=60.0)
    closing = scheduler.explain().admission.numbers
    assert closing["time_needed_s"] == 4 * closing["longest_trial_s"] > closing["time_left_s"]


def by_hand(scheduler, count, elastic=True):
    class Wishes:
        situation = None

        def __getattr__(self, name):
            return lambda *_: None

        def wished_devices(self, trial_id):
            return 1

        def max_num_devices(self, trial_id):
            return None

    trials = []
    for trial_id in range(count):
        config = scheduler.suggest().config
        if elastic:
            trial = ElasticTrial(trial_id, config, datetime(2026, 1, 1), [], Status.in_progress, backend=Wishes())
        else:
            trial = Trial(trial_id, config, datetime(2026, 1, 1))
        trials.append(trial)
        scheduler.on_trial_add(trial=trial)
    return trials


def report(scheduler, trial, epoch, loss):
    decision = scheduler.on_trial_result(trial=trial, result={"epoch": epoch, "loss": loss})
    if decision != "CONTINUE":
        scheduler.on_trial_remove(trial=trial)
    return decision


@pytest.mark.parametrize("elastic", [True, False])
def test_the_last_trial_is_not_paused_when_nothing_can_be_resumed(elastic):
    now_s = [0.0]
    scheduler = make(num_devices=3, clock=lambda: now_s[0], reduction_factor=2, max_t=100, fixed_exploration=0.5)
    trials = by_hand(scheduler, 3, elastic)
    assert [report(scheduler, trial, 1, 0.2) for trial in trials] == ["CONTINUE"] * 3
    now_s[0] = 59.0
    assert scheduler.suggest() is None
    # Those that diverge are paused, the last one that does not is not, whatever it reports.
    assert report(scheduler, trials[0], 2, 0.1) == "CONTINUE"
    assert report(scheduler, trials[1], 2, 0.3) == ("PAUSE" if elastic else "CONTINUE")
    if not elastic:
        assert report(scheduler, trials[1], 3, math.nan) == "PAUSE"
    assert report(scheduler, trials[0], 3, math.nan) == "PAUSE"
    assert report(scheduler, trials[2], 2, 99.0) == "CONTINUE"
    assert report(scheduler, trials[2], 3, 99.0) == "CONTINUE"
    assert report(scheduler, trials[2], 4, math.nan) == "PAUSE"


def test_without_resizing_no_trial_is_paused_after_admission_has_closed():
    """So with a backend that cannot resize, the running trials train on."""
    decisions = {}
    for elastic in (True, False):
        now_s = [0.0]
        scheduler = make(num_devices=3, clock=lambda now_s=now_s: now_s[0], max_t=100, fixed_exploration=0.5)
        trials = by_hand(scheduler, 3, elastic)
        report(scheduler, trials[0], 1, 0.1)
        now_s[0] = 59.0
        assert scheduler.suggest() is None
        decisions[elastic] = [report(scheduler, trial, 1, 0.5) for trial in trials[1:]]
    assert decisions == {True: ["PAUSE", "PAUSE"], False: ["CONTINUE", "CONTINUE"]}


def messages(caplog):
    return [record.getMessage() for record in caplog.records if record.name.endswith("_notices")]


@pytest.mark.parametrize("strategy", ["adaptive", "published"])
def test_time_that_is_left_over_is_spoken_of_once(strategy, caplog):
    scheduler = make(strategy, num_devices=8, max_t=9, searcher=Listed())
    simulate(scheduler, Curves(), num_devices=8, deadline_s=60.0)
    (message,) = messages(caplog)
    assert "s of 60 s stay unused: no trial runs any more, and none is started or resumed because " in message
    assert "the searcher has no further configuration" in message
    assert ('strategy="adaptive"' in message) == (strategy == "published")


def test_a_run_that_uses_its_time_says_nothing(caplog):
    simulate(make(num_devices=8, max_t=500), Curves(range(1, 501)), num_devices=8, deadline_s=60.0)
    assert messages(caplog) == []


@pytest.mark.parametrize(
    ("num_devices", "scaling", "speaks"),
    [
        (1, None, False), (2, None, True), (3, None, True), (4, None, False), (8, None, False),
        (4, {1: 1, 4: 3.6}, False), (4, {1: 1, 4: 2.2}, True), (8, {1: 1, 8: 1}, True), (2, {1: 1, 2: 2}, True),
    ],
)  # fmt: skip
def test_with_few_devices_a_message_at_the_start_says_that_no_trial_is_resized(num_devices, scaling, speaks, caplog):
    scheduler = make("adaptive", num_devices=num_devices, scaling=scaling)
    assert messages(caplog) == []
    by_hand(scheduler, min(2, num_devices))
    assert len(messages(caplog)) == speaks
    if speaks:
        assert f"no trial will be resized unless configurations run out: with num_devices={num_devices}" in caplog.text
        assert "Below 3.25 times it is better to go on exploring" in caplog.text


@pytest.mark.parametrize("arguments", [{"strategy": "published"}, {"strategy": "adaptive", "policy": "none"}])
def test_nothing_is_said_where_that_was_asked_for(arguments, caplog):
    by_hand(make(**arguments, scaling=None), 2)
    assert messages(caplog) == []


@pytest.mark.parametrize("strategy", ["adaptive", "published"])
def test_a_later_deadline_opens_admission_again(strategy):
    now_s = [0.0]
    scheduler = make(strategy, num_devices=8, clock=lambda: now_s[0], max_t=30)
    trials = by_hand(scheduler, 8)
    for epoch in range(1, 15):
        for trial in trials:
            now_s[0] += 0.5
            if trial.trial_id in scheduler.allocation:
                report(scheduler, trial, epoch, trial.trial_id + 1 / epoch)
    now_s[0] = 59.0
    assert not scheduler.admission_open or scheduler.suggest() is None or strategy == "adaptive"
    scheduler.extend_deadline(600.0)
    assert scheduler.deadline_s == 600.0
    assert scheduler.admission_open
    assert scheduler.explain().admission_closed_s is None
    assert set(scheduler.allocation.values()) <= {1}
    assert scheduler.suggest() is not None


@pytest.mark.parametrize("earlier", [60.0, 59, "61", math.nan])
def test_a_deadline_cannot_be_extended_to_an_earlier_one(earlier):
    with pytest.raises((TypeError, ValueError), match="deadline_s must be "):
        make().extend_deadline(earlier)


def train(x, st_checkpoint_dir):
    import json
    import os
    import time

    from tests.reporter import Reporter

    os.makedirs(st_checkpoint_dir, exist_ok=True)
    path = os.path.join(st_checkpoint_dir, "epoch.json")
    done = 0
    if os.path.exists(path):
        with open(path) as file:
            done = json.load(file)
    report = Reporter()
    # A drain may come between a checkpoint and its report, which is then made after the resume.
    for epoch in range(max(done, 1), 1000):
        time.sleep(0.03)
        # Nothing keeps the ranks together; rank 0 is the one whose reports count.
        if os.environ.get("RANK", "0") == "0":
            with open(path + ".new", "w") as file:
                json.dump(epoch, file)
            os.replace(path + ".new", path)
        report(epoch=epoch, loss=x + 1 / epoch)


class UntilClosed:
    """Ends a tuner that was told that there is nothing more to start."""

    def __init__(self, scheduler: HyperSched) -> None:
        self.scheduler = scheduler

    def __call__(self, status: object) -> bool:
        return not self.scheduler.admission_open and len(self.scheduler.allocation) < 4


@pytest.mark.slow  # the test below also resumes twice with later deadlines
@pytest.mark.usefixtures("no_process_left")
@pytest.mark.parametrize("strategy", ["published", "adaptive"])
def test_a_resume_with_a_later_deadline_starts_new_trials(strategy, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))

    def tuner(deadline_s, num_trials=None):
        backend = ElasticPythonBackend(train, SPACE, 4, device_type="cpu", grace_s=0.5)
        options = PublishedRules(fixed_exploration=0.01) if strategy == "published" else strategy
        scheduler = HyperSched(
            SPACE, "loss", "epoch", 1000, num_devices=4, deadline_s=deadline_s, random_seed=0, strategy=options,
            scaling={1: 1, 4: 4},
        )  # fmt: skip
        return Tuner(
            backend, scheduler,
            UntilClosed(scheduler) if num_trials is None else StoppingCriterion(max_num_trials_started=num_trials),
            n_workers=4, sleep_time=0.02, callbacks=[Journal(snapshot_interval_s=0.2)], tuner_name="later",
            suffix_tuner_name=False, save_tuner=False, output_logger=QuietTunerLogger(),
        )  # fmt: skip

    first = tuner(8.0)
    first.run()
    num_trials = len(first.tuning_status.trial_rows)
    # The second time it is replayed with its extension.
    for deadline_s in (6000.0, 60_000.0):
        second = resume_experiment("later", tuner(deadline_s, num_trials), time_passes="running")
        assert len(second.tuning_status.trial_rows) > num_trials
        assert second.scheduler.deadline_s == deadline_s
        num_trials = len(second.tuning_status.trial_rows)
    assert check_run(load_run(first.tuner_path, time_attr="epoch"), step=1) == ()


class DeadlineOrTrials(Deadline):
    """Ends a tuner early, when it has started so many trials."""

    most_trials = math.inf

    def __call__(self, status: TuningStatus) -> bool:
        return super().__call__(status) or status.num_trials_started >= self.most_trials


@pytest.mark.usefixtures("no_process_left")
def test_the_later_deadline_may_be_that_of_the_tuner(tmp_path, monkeypatch):
    """The scheduler is told of none, of none again, and at last of one."""
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))

    def tuner(deadline_s, told_s):
        backend = ElasticPythonBackend(train, SPACE, 4, device_type="cpu", grace_s=0.5)
        scheduler = HyperSched(
            SPACE, "loss", "epoch", 1000, deadline_s=told_s, random_seed=0,
            strategy=PublishedRules(fixed_exploration=0.01), scaling={1: 1, 4: 4},
        )  # fmt: skip
        return Tuner(
            backend, scheduler, DeadlineOrTrials(deadline_s, trial_backend=backend), n_workers=4, sleep_time=0.02,
            callbacks=[Journal(snapshot_interval_s=0.2)], tuner_name="later", suffix_tuner_name=False,
            save_tuner=False, output_logger=QuietTunerLogger(),
        )  # fmt: skip

    first = tuner(2.5, None)
    first.run()
    num_trials = len(first.tuning_status.trial_rows)
    for deadline_s, told_s in ((6000.0, None), (60_000.0, 60_000.0)):
        second = tuner(deadline_s, told_s)
        second.stop_criterion.most_trials = num_trials + 1
        second = resume_experiment("later", second, time_passes="running")
        assert len(second.tuning_status.trial_rows) > num_trials
        assert second.scheduler.deadline_s == deadline_s
        num_trials = len(second.tuning_status.trial_rows)
    assert check_run(load_run(first.tuner_path, time_attr="epoch"), step=1) == ()
