"""The elastic local backend and scripts that fail, or report what cannot be used."""

from __future__ import annotations

import os

import psutil
import pytest
from syne_tune import StoppingCriterion
from syne_tune.backend.trial_status import Status
from syne_tune.config_space import choice, uniform
from syne_tune.optimizer.baselines import RandomSearch

from syne_hypersched import ASHA, HyperSched, PublishedRules
from syne_hypersched.experiments import read_events
from tests.backends.local.tunings import EarlyDeadline, assert_sound, fixed, make_backend, poll, results, run

pytestmark = pytest.mark.usefixtures("no_process_left")


def test_the_error_of_a_crashed_script_has_log_exit_code_and_last_lines(script, caplog):
    with pytest.raises(ValueError, match="failed"):
        run(make_backend(script), fixed("crash"), StoppingCriterion(max_wallclock_time=240), n_workers=1)
    message = next(record.getMessage() for record in caplog.records if "failed with exit code" in record.getMessage())
    # It was retried once, and would end in the same words a third time.
    assert "Trial 0 failed with exit code 1 in launch 1 (it ends in the same words" in message
    assert str(os.path.join("0", "std.err")) in message
    assert "about to fail" in message
    assert message.endswith("RuntimeError: no such luck")


def test_failures_are_borne_up_to_max_failures(script):
    points = [{"x": 0.5, "mode": mode} for mode in ("crash", "", "crash", "")]
    space = {"x": uniform(0, 1), "epochs": 3, "mode": choice(["crash", ""])}
    scheduler = RandomSearch(space, metrics=["loss"], points_to_evaluate=points)

    def both_are_seen_or_it_is_late(status):
        return {Status.failed, Status.completed} <= statuses(status) or status.wallclock_time > 240

    def statuses(status):
        return set(status.last_trial_status_seen.values())

    tuner = run(make_backend(script, retry_backoff_s=0), scheduler, both_are_seen_or_it_is_late, max_failures=50)
    assert {Status.failed, Status.completed} <= statuses(tuner.tuning_status)
    assert_sound(tuner)


class ErrorCountingASHA(ASHA):
    """Records which trials have failed."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.failed = []

    def on_trial_error(self, trial):
        super().on_trial_error(trial)
        self.failed.append(trial.trial_id)


def test_the_scheduler_receives_a_failure_once_and_only_after_the_retries(script):
    points = [{"x": 0.5, "mode": "crash at 3"}, {"x": 0.5, "mode": ""}]
    space = {"x": uniform(0, 1), "mode": choice(["crash at 3", ""])}
    scheduler = ErrorCountingASHA(
        space, "loss", "epoch", max_t=100, grace_period=50, points_to_evaluate=points, random_seed=1
    )  # fmt: skip
    backend = make_backend(script, retry_backoff_s=0.05)
    # It would stop at a second failure.
    tuner = run(backend, scheduler, lambda status: 0 in scheduler.failed, n_workers=2, max_failures=2)
    assert scheduler.failed == [0]
    events = [event for event in read_events(tuner.tuner_path / "events.jsonl") if event.trial_id == 0]
    told = [event.event for event in events if event.event in ("launch", "retry", "fail")]
    assert told == ["launch", "retry", "launch", "retry", "launch", "fail"]
    assert list(results(tuner).query("trial_id == 0").epoch) == [1, 2]
    assert_sound(tuner)


@pytest.mark.slow
def test_hypersched_asks_once_for_a_size_on_which_a_trial_fails(script):
    space = {"x": uniform(0, 1), "mode": "crash on 2"}
    scheduler = HyperSched(
        space, "loss", "epoch", max_t=1000, num_devices=2, deadline_s=600, scaling={1: 1, 2: 2}, random_seed=1,
        strategy=PublishedRules(fixed_exploration=0.7 / 600),
    )  # fmt: skip
    backend = make_backend(script, 2, retries=0, retry_backoff_s=0.05)

    def has_gone_on(status):
        return status.overall_metric_statistics.max_metrics.get("st_launch", 0) == 2

    tuner = run(backend, scheduler, EarlyDeadline(600, backend, has_gone_on), n_workers=1)
    assert_sound(tuner)
    events = read_events(tuner.tuner_path / "events.jsonl")
    assert [event.reason for event in events if event.event in ("resize", "refuse")] == ["1 -> 2"]
    (retry,) = [event for event in events if event.event == "retry"]
    assert retry.reason == "it fails on 2 devices and goes back to 1"
    table = results(tuner)
    assert set(table.st_num_devices) == {1}
    # It has gone on after that.
    assert table.st_launch.max() == 2


def test_a_script_that_never_reports_fails_and_says_what_to_do(script, caplog):
    with pytest.raises(ValueError, match="failed"):
        run(make_backend(script), fixed("silent"), StoppingCriterion(max_wallclock_time=240), n_workers=1)
    assert "reported nothing" in caplog.text
    assert "syne_tune.Reporter" in caplog.text


def test_half_a_report_is_left_out_with_a_warning(script, caplog):
    tuner = run(
        make_backend(script), fixed("half", epochs=3), StoppingCriterion(max_num_trials_finished=1), n_workers=1
    )
    assert "Ignored an incomplete report" in caplog.text
    assert_sound(tuner)


def test_a_missing_metric_is_named_and_ends_nothing(script, caplog):
    scheduler = HyperSched(
        {"x": uniform(0, 1)}, "accuracy", "epoch", max_t=9, num_devices=4, deadline_s=60, strategy="published"
    )
    run(make_backend(script), scheduler, StoppingCriterion(max_num_evaluations=9))
    assert "has reported without 'accuracy'; it has epoch, loss" in caplog.text


@pytest.mark.parametrize(("code", "status"), [(0, Status.completed), (3, Status.failed)])
def test_a_trial_that_ends_before_it_can_be_asked_to_is_not_launched_again(tmp_path, wait_for, code, status):
    go, script = tmp_path / "go", tmp_path / "train.py"
    script.write_text(
        f"import os, sys, time\nfrom tests.reporter import Reporter\nReporter()(loss=2.0)\n"
        f"while not os.path.exists({str(go)!r}):\n    time.sleep(0.01)\nsys.exit({code})\n"
    )
    backend = make_backend(script)
    backend.set_path(str(tmp_path / "run"))
    trial = backend.start_trial({})
    poll(backend, [0], bool, wait_for)
    # The launcher may tell of a launch after its first report was read.
    wait_for(lambda: any(event.event == "launch" for event in read_events(tmp_path / "run" / "events.jsonl")))
    (launched,) = [event for event in read_events(tmp_path / "run" / "events.jsonl") if event.event == "launch"]
    rank = psutil.Process(launched.details["pids"][0])
    supervisor = rank.parent()
    supervisor.suspend()
    trial.resize(2)
    go.touch()
    wait_for(lambda: rank.status() == psutil.STATUS_ZOMBIE)
    supervisor.resume()
    wait_for(lambda: backend.fetch_status_results([0])[0][0][1] == status)
    backend.stop_all()
    events = read_events(tmp_path / "run" / "events.jsonl")
    assert sum(event.event == "launch" for event in events) == 1
