"""Checkpoints of trials under a backend: what is put back, published and handed on."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from syne_tune.backend.trial_status import Status

from syne_hypersched.backends.local._checkpoints import Checkpoints
from syne_hypersched.backends.shared.events import EventLog
from syne_hypersched.records.events import read_events
from tests.backends.local.saving import best, checkpoints, epoch_of, publish

pytestmark = pytest.mark.usefixtures("no_process_left")


def test_a_launch_that_cannot_load_its_checkpoint_is_followed_by_one_from_the_generation_before(trials, caplog):
    trials.start(epochs=5, mode="tears", best=2)
    assert trials.until_ended() == Status.completed
    assert trials.epochs[0] == [1, 2, 3, 4, 5]  # what is done again is not reported again
    assert trials.ends() == ["failed", "failed", "completed"]
    (event,) = trials.events("restore")
    assert (event.launch, event.details["generation"]) == (2, 2)
    assert event.reason == "the previous launch could not continue from generation 3"
    warnings = [record.message for record in caplog.records if "goes on from an older checkpoint" in record.message]
    assert len(warnings) == 1
    assert "Trial 0 goes on from an older checkpoint in launch 2 (generation 2)" in warnings[0]
    assert "loaded 2" in "".join(trials.backend.stdout(0))
    assert epoch_of(checkpoints(trials)) == 5


def test_it_goes_back_once_and_not_further(trials):
    trials.start(epochs=5, mode="tears")
    trials.until(lambda: trials.epochs[0][-1:] == [3])
    # The launches after it fail whatever they load.
    (trials.folder.parent / "train.py").write_text("raise EOFError('Ran out of input')")
    assert trials.until_ended() == Status.failed
    assert [event.details["generation"] for event in trials.events("restore")] == [2]
    assert trials.ends() == ["failed"] * 3


def test_the_best_epoch_is_published_however_late_it_is_looked_at(trials):
    trials.start(epochs=9, best=5)
    trials.wait_for(lambda: len([line for line in trials.backend.stdout(0) if "tune-metric" in line]) == 9)
    trials.poll()  # once, after all is over
    trials.until_ended()
    assert trials.epochs[0] == list(range(1, 10))
    publish(trials)
    trials.backend.stop_all()
    trial_id, level, epoch, match = best(trials)
    assert (trial_id, level) == (0, 5)
    assert epoch == 5 if match == "exact" else 5 <= epoch <= 5 + match


def test_the_last_epoch_of_a_script_that_has_ended_is_published_exactly(trials):
    trials.start(exact=4)
    trials.until_ended()
    publish(trials)
    trials.backend.stop_all()
    last = trials.epochs[0][-1]
    assert best(trials) == (0, last, last, "exact")


def test_a_report_with_a_test_score_only_is_not_the_best(trials):
    trials.backend.follow("epoch")
    trials.start(epochs=20, exact=3, mode="scores")
    trials.until_ended()
    assert trials.epochs[0][:4] == [1, 2, None, 3]
    for report in trials.reports:
        if "epoch" in report:  # the scheduler leaves out the others
            trials.backend.publish(0, report)
    trials.backend.stop_all()
    _, level, epoch, _ = best(trials)
    assert level == epoch == trials.epochs[0][-1]


def test_the_second_best_is_published_if_the_best_never_has_a_checkpoint(trials):
    trials.start(epochs=2)
    trials.until_ended()
    publish(trials)
    for trial_id, options in ((1, {"mode": "never", "best": 2, "epochs": 2}), (2, {"best": 500, "exact": 2})):
        trials.start(**options)
        trials.until_ended(trial_id)
    trials.backend.publish(1, next(report for report in trials.reports if report["loss"] == 1.0))
    trials.wait_for(lambda: trials.events("unpublished"))
    trials.backend.stop_all()
    last = trials.epochs[2][-1]
    assert best(trials)[:3] == (2, last, last)


def test_a_trial_that_begins_from_the_checkpoint_of_another_one_goes_on_from_there(trials):
    trials.start(epochs=3)
    trials.until_ended()
    trial = trials.backend.start_trial({"epochs": 5}, checkpoint_trial_id=0)
    trials.ids.append(trial.trial_id)
    trials.epochs[1] = []
    trials.until_ended(1)
    assert trials.epochs[1] == [4, 5]
    assert epoch_of(checkpoints(trials, 1)) == 5
    assert epoch_of(checkpoints(trials, 0)) == 3  # they have no file in common


def test_a_trial_may_begin_from_the_checkpoint_of_one_that_runs(trials):
    trials.start(mode="in place")
    trials.until(lambda: len(trials.epochs[0]) >= 3)
    trial = trials.backend.start_trial({"epochs": 1000}, checkpoint_trial_id=0)
    trials.ids.append(trial.trial_id)
    trials.epochs[1] = []
    trials.until(lambda: trials.epochs[1])
    assert trials.epochs[1][0] >= 2  # else it has started from the beginning


def test_a_trial_of_a_second_experiment_with_the_same_name_starts_from_the_beginning(make_trials, caplog):
    first = make_trials()
    first.start(exact=3, mode="kept")
    first.until_ended()
    publish(first)
    first.backend.stop_all()
    before = first.epochs[0][-1]
    assert best(first)[:3] == (0, before, before)
    second = make_trials()
    second.start(exact=2, best=2000, mode="kept")
    second.until_ended()
    last = second.epochs[0][-1]
    assert second.epochs[0] == list(range(1, last + 1))
    assert epoch_of(checkpoints(second)) == last
    assert epoch_of(checkpoints(second).with_name("checkpoints-before")) == before
    assert epoch_of(second.folder / "best-before" / "checkpoint") == before
    publish(second)
    second.backend.stop_all()
    assert best(second)[:3] == (0, last, last)  # although the one before was better
    assert caplog.text.count("There are checkpoints of an earlier experiment") == 1


@pytest.mark.parametrize("second", [pytest.param("folder", marks=pytest.mark.slow), "link"])
def test_what_an_earlier_experiment_has_kept_of_a_link_is_no_error(make_trials, tmp_path, second):
    first = make_trials()
    outside = tmp_path / "disk"
    outside.mkdir()
    folder = checkpoints(first)
    folder.parent.mkdir(parents=True)
    folder.with_name("checkpoints-before").symlink_to(outside)
    if second == "link":
        folder.symlink_to(outside)
    else:
        folder.mkdir()
    (outside / "model").write_text("epoch 7 .")
    first.start(epochs=1)
    first.until_ended()
    assert first.epochs[0] == [1]
    assert epoch_of(outside) == 7


@pytest.mark.parametrize("mode", [pytest.param("", marks=pytest.mark.slow), "in place"])
def test_a_trial_that_begins_where_another_one_has_ended_is_no_failure(trials, mode, caplog):
    trials.start(epochs=2, mode=mode)
    assert trials.until_ended(0) == Status.completed
    trials.ids.append(trials.backend.start_trial({"epochs": 2, "mode": mode}, checkpoint_trial_id=0).trial_id)
    trials.epochs[1] = []
    assert trials.until_ended(1) == Status.stopped  # Syne Tune's tuner ends if a completed trial has not reported
    assert trials.epochs == {0: [1, 2], 1: []}
    assert [event.trial_id for event in trials.events("complete", "fail")] == [0, 1]
    assert trials.events("fail") == []
    assert "Trial 1 began with the checkpoint of another trial and ended without a report" in caplog.text


def test_what_a_dead_tuner_had_received_counts_for_a_scheduler_that_tells_the_backend_nothing(tmp_path):
    events = EventLog(tmp_path / "events.jsonl", lambda: 0.0)
    checkpoints = Checkpoints(tmp_path.joinpath, lambda _: None, events, delete=False, min_free_mb=0.0)
    checkpoints.experiment = tmp_path
    (tmp_path / "metadata.json").write_text(json.dumps({"metric_names": ["accuracy"], "metric_mode": "max"}))
    trial = SimpleNamespace(trial_id=0, reports=SimpleNamespace(number_of=lambda report: None))
    checkpoints.record_received(trial, [{"accuracy": 0.5}, {"accuracy": 0.75}, {"accuracy": 0.25}])
    assert checkpoints._best_received(0, None) == (-0.75, None, {"accuracy": 0.75})


def test_a_better_report_whose_checkpoint_never_arrives_is_told_at_the_end(tmp_path):
    events = EventLog(tmp_path / "events.jsonl", lambda: 0.0)
    checkpoints = Checkpoints(lambda i: tmp_path / str(i) / "saved", lambda _: None, events, False, 0.0)
    checkpoints.experiment, checkpoints.is_arriving = tmp_path, {1}.__contains__
    checkpoints.measure("loss", do_minimize=True)
    checkpoints.publish(0, {}, {"loss": 0.5})
    checkpoints._received[1] = [(0.25, None, {"loss": 0.25})]
    checkpoints.settle({0: {}, 1: {}})
    assert read_events(events.path)[-1].details["result"] == {"loss": 0.25}
