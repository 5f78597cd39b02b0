"""Trials of a dead tuner, restored from their logs and the recorded events."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from syne_tune.backend.trial_status import Status

from syne_hypersched.backends.local._failures import Failure, FailurePolicy, GiveUp, Retry
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.local._restore import RestoredTrial
from syne_hypersched.backends.shared.elastic import ElasticTrial
from syne_hypersched.checkpoints import Ending

POLICY = FailurePolicy(retries=2)


def trial_of(status):
    return ElasticTrial(3, {"x": 1}, datetime(2024, 1, 1), metrics=[], status=status)


def write(folder, *epochs, counts=True):
    """One launch's part of a log."""
    with open(folder / "std.out", "a") as log:
        for number, epoch in enumerate(epochs):
            report = {"epoch": epoch, "st_worker_iter": number} if counts else {"epoch": epoch}
            log.write(f"[tune-metric]: {json.dumps(report)}\n")


def seen(trial, num_reports):
    """Reports as another fleet has made and delivered them, on two devices."""
    trial.reports.stream.begin_launch(0, 2, 0.0)
    trial.read("epoch")
    return trial.reports.deliver()[:num_reports]


@pytest.fixture
def first(tmp_path):
    """The record of a trial that has reported three epochs on two devices."""
    write(tmp_path, 1, 2, 3)
    return TrialProcesses(3, tmp_path / "std.out", tmp_path / "std.err")


def test_what_was_not_delivered_is_queued(tmp_path, first):
    delivered = seen(first, 1)
    write(tmp_path, 2, 3, 4)  # a launch from the checkpoint of the first epoch
    known = RestoredTrial(trial_of(Status.in_progress), delivered, launch=1, devices=("0", "1", "2"))
    restored = known.processes(tmp_path, "epoch", 1)
    assert (restored.status, restored.launch) == (Status.paused, 1)
    assert [report["epoch"] for report in restored.reports.waiting] == [2, 3, 4]
    assert [report["st_num_devices"] for report in restored.reports.waiting] == [2, 2, 3]
    assert [report["st_launch"] for report in restored.reports.waiting] == [0, 0, 1]


@pytest.mark.parametrize("status", [Status.completed, Status.failed, Status.stopped])
def test_a_trial_that_has_ended_stays_so(tmp_path, first, status):
    restored = RestoredTrial(trial_of(status), seen(first, 1), num_devices=2).processes(tmp_path, "epoch", 1)
    assert (restored.status, restored.resumes_on, len(restored.reports.waiting)) == (status, 0, 0)


@pytest.mark.parametrize(("epochs_later", "num_retries_left"), [((), 0), ((3, 4), 2)])
def test_failures_since_the_last_report_count(tmp_path, first, epochs_later, num_retries_left):
    delivered = seen(first, 3)
    for _ in range(2):
        assert isinstance(first.failures.fail(Failure(2, 1), POLICY), Retry)
    failures = json.loads(json.dumps(first.faults()))["failures"]
    assert failures["num_reports"] == 3
    write(tmp_path, *epochs_later)
    known = RestoredTrial(trial_of(Status.in_progress), delivered, launch=2, devices=("0", "1"), failures=failures)
    restored = known.processes(tmp_path, "epoch", 1)
    decisions = [restored.failures.fail(Failure(2, 1), POLICY) for _ in range(num_retries_left + 1)]
    assert [type(decision) for decision in decisions] == [Retry] * num_retries_left + [GiveUp]


@pytest.mark.parametrize("go_back_from", [None, 7])
def test_the_next_launch_goes_back_as_the_dead_tuner_would_have_had_it(tmp_path, first, go_back_from):
    delivered = seen(first, 3)
    first.failures.fail(Failure(2, 1), POLICY)
    first.fallback.begin_launch(3)
    first.fallback.begin_from(go_back_from)
    first.fallback.fail(3, Ending(has_changed=False), 1)
    failures = json.loads(json.dumps(first.faults()))["failures"]
    known = RestoredTrial(trial_of(Status.in_progress), delivered, launch=2, devices=("0",), failures=failures)
    assert known.processes(tmp_path, "epoch", 1).fallback.take() == go_back_from


def test_a_size_on_which_it_has_failed_is_known_from_events_or_journal(tmp_path, first):
    delivered = seen(first, 3)
    first.failures.fail(Failure(4, 1), POLICY)
    failures = first.faults()["failures"]
    for journaled, expected in ((None, 3), (2, 2), (5, 3)):
        known = RestoredTrial(
            trial_of(Status.paused), delivered, num_devices=4, max_num_devices=journaled, failures=failures
        )
        restored = known.processes(tmp_path, "epoch", 1)
        assert restored.failures.max_num_devices == expected
        assert restored.failures.fitting(restored.resumes_on) == 2


def test_a_trial_that_was_never_launched_is_taken_over(tmp_path):
    restored = RestoredTrial(trial_of(Status.in_progress)).processes(tmp_path, None, 1)
    assert (restored.launch, list(restored.reports.waiting), restored.faults()) == (-1, [], {})


@pytest.mark.parametrize("counts", [True, False])
def test_reports_of_a_launch_that_was_never_recorded_count(tmp_path, counts):
    write(tmp_path, 1, 2, counts=counts)
    restored = RestoredTrial(trial_of(Status.in_progress)).processes(tmp_path, "epoch", num_devices_per_trial=3)
    assert [(report["st_num_devices"], report["st_launch"]) for report in restored.reports.waiting] == [(3, 0), (3, 0)]


def test_a_script_that_does_not_count_its_reports(tmp_path):
    write(tmp_path, 1, 2, 3, counts=False)
    delivered = seen(TrialProcesses(3, tmp_path / "std.out", tmp_path / "std.err"), 1)
    write(tmp_path, 2, 3, 4, counts=False)  # trained again from the checkpoint of the first epoch
    known = RestoredTrial(trial_of(Status.in_progress), delivered, launch=1, devices=("0", "1", "2"))
    restored = known.processes(tmp_path, "epoch", 1)
    assert [report["epoch"] for report in restored.reports.waiting] == [2, 3, 4]
    assert [report["st_num_devices"] for report in restored.reports.waiting] == [2, 2, 3]
    assert [report["st_launch"] for report in restored.reports.waiting] == [0, 0, 1]
