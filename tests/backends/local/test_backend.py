"""The elastic local backend under the stock tuner: real scripts, good and bad ones."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import subprocess
import sys
import textwrap

import dill
import numpy as np
import psutil
import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend import LocalBackend
from syne_tune.backend.trial_status import Status
from syne_tune.config_space import choice, uniform
from syne_tune.optimizer.baselines import ASHA as StockASHA
from syne_tune.optimizer.baselines import RandomSearch
from syne_tune.results_callback import StoreResultsCallback
from syne_tune.tuner_callback import TunerCallback

from syne_hypersched import ASHA, Deadline, ElasticLocalBackend, HyperSched, PublishedRules
from syne_hypersched._tables import read_csv
from syne_hypersched.checkpoints import GenerationStore
from syne_hypersched.experiments import check_run, load_run, read_events
from tests.thoroughness import repetitions

pytestmark = pytest.mark.usefixtures("no_process_left")

SCRIPT = """
import argparse, json, os, signal, sys, time
from pathlib import Path
from tests.reporter import Reporter

parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float, default=1.0)
parser.add_argument("--epochs", type=int, default=1000)
parser.add_argument("--mode", default="")
parser.add_argument("--st_checkpoint_dir", type=Path)
args = parser.parse_args()
if args.mode == "crash":
    print("about to fail", file=sys.stderr)
    raise RuntimeError("no such luck")
if args.mode == "silent":
    sys.exit(0)
if args.mode == "half":
    print('[tune-metric]: {"epoch": 1, "lo')
if args.mode == "ignore":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if args.mode == "fork" and os.fork() == 0:
    os.setsid()
    time.sleep(600)
rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
checkpoint = args.st_checkpoint_dir / "epoch.json"
done = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
report = Reporter()
for epoch in range(done + 1, args.epochs + 1):
    time.sleep(0.03 / world_size)
    if args.mode == "crash at 3" and epoch == 3:
        sys.exit("always here")
    if args.mode == "crash on 2" and world_size == 2:
        sys.exit("no room for two")
    report(epoch=epoch, loss=float("nan") if args.mode == "nan" else args.x + 1 / epoch)  # every rank: only one counts
    if rank == 0:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.with_suffix(".new").write_text(json.dumps(epoch))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


def make_backend(script, num_devices=4, **options):
    return ElasticLocalBackend(script, num_devices, **{"device_type": "cpu", "grace_s": 20.0, **options})


def run(backend, scheduler, stop_criterion, n_workers=4, **options):
    options = {"sleep_time": 0.02, "results_update_interval": 1, "tuner_name": "test", **options}
    tuner = Tuner(backend, scheduler, stop_criterion, n_workers=n_workers, **options)
    tuner.run()
    return tuner


class EarlyDeadline(Deadline):
    """A deadline that is far away, and has come once the test has seen enough."""

    def __init__(self, deadline_s, backend, is_enough):
        super().__init__(deadline_s, backend)
        self._is_enough = is_enough

    def __call__(self, status):
        return super().__call__(status) or self._is_enough(status)


def events_of(backend):
    """The events so far of a tuning that goes on."""
    path = backend.trial_path(0).parent / "events.jsonl"
    return read_events(path) if path.exists() else []


def results(tuner):
    return read_csv(tuner.tuner_path / "results.csv.zip")


def assert_sound(tuner):
    """The rules that hold in every run, and epochs that start at 1."""
    assert check_run(load_run(tuner.tuner_path, time_attr="epoch")) == ()
    assert (results(tuner).groupby("trial_id").epoch.min() == 1).all()


class ResizingASHA(ASHA):
    """Resizes at every fifth epoch."""

    def on_trial_result(self, trial, result):
        decision = super().on_trial_result(trial=trial, result=result)
        if decision == "CONTINUE" and result["epoch"] % 5 == 0:
            trial.resize(1 + (trial.num_devices % 2))
        return decision


def asha(cls=ASHA, max_t=30, **options):
    return cls({"x": uniform(0, 1)}, "loss", time_attr="epoch", max_t=max_t, random_seed=1, **options)


def test_resizes_under_the_stock_tuner(script):
    backend = make_backend(script)

    def has_resized(status):
        """Two resizes, and reports on both numbers of devices, take longer on a busy machine."""
        exits = [event for event in events_of(backend) if event.event == "exit" and event.reason == "resize"]
        reported = status.overall_metric_statistics
        on = {numbers.get("st_num_devices") for numbers in (reported.min_metrics, reported.max_metrics)}
        return status.wallclock_time >= (2 if len(exits) >= 2 and on == {1, 2} else 240)

    tuner = run(backend, asha(ResizingASHA), has_resized, n_workers=3)
    assert_sound(tuner)
    table = results(tuner)
    assert set(table.st_num_devices) == {1, 2}
    resizes = [event for event in read_events(tuner.tuner_path / "events.jsonl") if event.reason == "resize"]
    assert sum(event.event == "exit" for event in resizes) >= 2
    for _, trial in table.groupby("trial_id"):
        assert trial.st_worker_time.is_monotonic_increasing
        assert list(trial.st_worker_iter) == list(range(len(trial)))
        assert trial.st_launch.is_monotonic_increasing


def test_hypersched_under_the_stock_tuner(script):
    # Without rungs only NaN ends a trial, so that two trials are there to grow when admission closes.
    scheduler = HyperSched(
        {"x": uniform(0, 1), "mode": choice(["", "nan"])}, "loss", "epoch", max_t=1000, grace_period=1000,
        num_devices=4, deadline_s=600, random_seed=3,
        strategy=PublishedRules(fixed_exploration=2 / 600, recharge_period=2),
    )  # fmt: skip
    backend = make_backend(script)

    def has_grown(status):
        reported = status.overall_metric_statistics.max_metrics.get("st_num_devices", 0)
        return reported >= 2 and (backend.local_path / "best" / "checkpoint" / "epoch.json").exists()

    tuner = run(backend, scheduler, EarlyDeadline(600, backend, has_grown), n_workers=2)
    assert_sound(tuner)
    table = results(tuner)
    assert not scheduler.admission_open
    assert not table.st_admission_open.iloc[-1]
    assert table.st_num_devices.max() >= 2
    # A trial that reports NaN is paused, and its report is in the results all the same.
    assert (table[table.loss.isna()].st_decision == "PAUSE").all()
    best = json.loads((tuner.tuner_path / "best" / "result.json").read_text())
    # The script reports an epoch before it writes the checkpoint. What has none when the time is over is not published.
    epoch = json.loads((tuner.tuner_path / "best" / "checkpoint" / "epoch.json").read_text())
    known = best["st_checkpoint"]
    assert (
        epoch == known["level"] == best["epoch"]
        if known["match"] == "exact"
        else 0 <= epoch - best["epoch"] <= known["match"]
    )
    assert best["epoch"] >= table[table.trial_id == best["trial_id"]].epoch.max() - 2
    assert json.loads((tuner.tuner_path / "best" / "config.json").read_text())["mode"] == ""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["", "ignore"])
def test_no_process_outlives_the_deadline(script, mode, wait_for):
    backend = make_backend(script)
    scheduler = ASHA({"x": uniform(0, 1), "mode": mode}, "loss", "epoch", max_t=1000, grace_period=1000, random_seed=1)

    def events(kind):
        return [event for event in events_of(backend) if event.event == kind]

    def all_have_ended(status):
        """Sets a deadline when all trials run, after which the tuner does nothing until they have ended."""
        if len(events("launch")) < 4:
            return False
        backend.set_deadline(2.0, 0.5)
        wait_for(lambda: len(events("exit")) == 4)
        return True

    run(backend, scheduler, all_have_ended)
    set_s = max(event.time_s for event in events("launch"))
    assert all(event.time_s >= set_s + 1.5 for event in events("exit"))
    assert {event.reason for event in events("exit")} == {"deadline"}


def promotion(max_resource_attr):
    return ASHA(
        {"x": uniform(0, 1), "epochs": 27}, "loss", "epoch", max_t=27, type="promotion",
        max_resource_attr=max_resource_attr, random_seed=1,
    )  # fmt: skip


@pytest.mark.parametrize("max_resource_attr", [None, pytest.param("epochs", marks=pytest.mark.slow)])
def test_promotion_loses_and_repeats_no_epoch(script, max_resource_attr):
    backend = make_backend(script)

    def has_promoted(status):
        """Scripts train on while a tuner is late, so that the number of evaluations says little on a busy machine."""
        resumed = {event.trial_id for event in events_of(backend) if event.event == "first_report" and event.launch}
        return status.overall_metric_statistics.count >= 60 and len(resumed) >= 3

    tuner = run(backend, promotion(max_resource_attr), has_promoted)
    assert_sound(tuner)
    assert (results(tuner).groupby("trial_id").st_launch.max() > 0).sum() >= 3


def test_a_trial_that_ends_by_itself_while_it_is_paused_goes_on_when_resumed(script, wait_for):
    """A script that trains up to the milestone in its arguments, with a tuner that resumes it quickly."""
    backend = make_backend(script, time_attr="epoch")
    for epochs in range(1, repetitions(30, 10)):
        if epochs == 1:
            backend.start_trial({"epochs": 1})
        else:
            backend.resume_trial(0, {"epochs": epochs})
        ((_, report), *more) = poll(backend, [0], bool, wait_for)
        assert (report["epoch"], more) == (epochs, [])
        backend.pause_trial(0, report)
    backend.stop_all()


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
@pytest.mark.slow  # the stock backend runs a scheduler of this package in a quick test below, too
@pytest.mark.parametrize("max_resource_attr", [None, "epochs"])
def test_promotion_on_the_stock_backend(script, max_resource_attr):
    """The stock backend kills a trial at once and drops its last reports, so epochs may be missing."""
    backend = LocalBackend(str(script), rotate_gpus=False)
    tuner = run(backend, promotion(max_resource_attr), StoppingCriterion(max_num_evaluations=20))
    for process in backend.trial_subprocess.values():
        process.wait()
    epochs = results(tuner).groupby("trial_id").epoch
    assert (epochs.min() == 1).all()
    assert (epochs.max() > 1).any()


@pytest.mark.parametrize(
    "make_scheduler",
    [
        pytest.param(
            lambda space: StockASHA(space, metric="loss", time_attr="epoch", max_t=9, random_seed=1), id="ASHA"
        ),
        pytest.param(
            lambda space: RandomSearch(space, metrics=["loss"], random_seed=1),
            id="RandomSearch",
            marks=pytest.mark.slow,  # most other tests here draw at random
        ),
    ],
)
def test_stock_schedulers_run_on_it(script, make_scheduler):
    scheduler = make_scheduler({"x": uniform(0, 1), "epochs": 9})
    tuner = run(make_backend(script), scheduler, StoppingCriterion(max_num_trials_finished=6))
    assert_sound(tuner)


def fixed(mode, **options):
    return RandomSearch({"x": uniform(0, 1), "mode": mode, **options}, metrics=["loss"], random_seed=1)


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


def test_children_of_a_script_end_with_it(script):
    run(make_backend(script), fixed("fork", epochs=3), StoppingCriterion(max_num_trials_completed=2))
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(script) in (p.info["cmdline"] or [])]


def test_a_missing_metric_is_named_and_ends_nothing(script, caplog):
    scheduler = HyperSched(
        {"x": uniform(0, 1)}, "accuracy", "epoch", max_t=9, num_devices=4, deadline_s=60, strategy="published"
    )
    run(make_backend(script), scheduler, StoppingCriterion(max_num_evaluations=9))
    assert "has reported without 'accuracy'; it has epoch, loss" in caplog.text


def test_more_workers_than_devices_is_an_error(script):
    backend = make_backend(script, 2)
    with pytest.raises(ValueError, match="n_workers must be at most 2 with 2 devices and 1 per trial, but got 3"):
        run(backend, asha(), StoppingCriterion(max_wallclock_time=20), n_workers=3)
    assert backend.busy_trial_ids() == []  # nothing was started


def test_nothing_is_started_on_devices_that_are_promised(script):
    """With start_jobs_without_delay=False the tuner asks which devices are busy."""

    class Greedy(ResizingASHA):
        def on_trial_result(self, trial, result):
            trial.resize(4)
            return "CONTINUE"

    tuner = run(
        make_backend(script), asha(Greedy, max_t=1000), StoppingCriterion(max_num_evaluations=30),
        start_jobs_without_delay=False,
    )  # fmt: skip
    assert_sound(tuner)


def poll(backend, trial_ids, condition, wait_for):
    reports = []

    def polled():
        reports.extend(backend.fetch_status_results(trial_ids=trial_ids)[1])
        return condition(reports)

    wait_for(polled)
    return reports


def test_arguments_as_json(script, tmp_path, wait_for):
    text = script.read_text().replace(
        "args = parser.parse_args()",
        'parser.add_argument("--st_config_json_filename")\nargs = parser.parse_args()\n'
        "vars(args).update(json.loads(Path(args.st_config_json_filename).read_text()))\n"
        'assert args.nested == {"a": [1, 2]}',
    )
    script.write_text(text)
    backend = make_backend(script, pass_args_as_json=True)
    backend.start_trial({"x": 2.0, "epochs": 2, "nested": {"a": [1, 2]}})
    reports = poll(backend, [0], lambda reports: len(reports) == 2, wait_for)
    assert reports[0][1]["loss"] == 3.0
    backend.stop_all()


@pytest.mark.parametrize(
    "binary", [pytest.param(sys.executable, marks=pytest.mark.slow), [sys.executable, "-B"], f"{sys.executable} -B"]
)
def test_another_binary_is_launched_cold(script, binary, wait_for):
    backend = make_backend(script, binary=binary)
    assert backend.launch_mode == "cold"
    backend.start_trial({"x": 2.0, "epochs": 1, "mode": "two words"})
    poll(backend, [0], bool, wait_for)
    backend.stop_all()


@pytest.mark.parametrize("name", ["train.sh", "train.py"])
def test_a_program_in_the_working_directory_is_found(tmp_path, monkeypatch, wait_for, name):
    text = {
        "train.sh": """#!/bin/sh\necho '[tune-metric]: {"loss": 2.0}'""",
        "train.py": """print('[tune-metric]: {"loss": 2.0}')""",
    }
    (tmp_path / name).write_text(text[name])
    (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    backend = make_backend(name)
    backend.set_path(str(tmp_path / "run"))
    monkeypatch.chdir("/")  # as a tuner may do before it starts the first trial
    backend.start_trial({})
    ((_, report),) = poll(backend, [0], bool, wait_for)
    assert report["loss"] == 2.0
    backend.stop_all()


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


def test_checkpoints_of_stopped_trials_are_removed_when_they_have_ended_and_are_replaced(script, wait_for):
    backend = make_backend(script, delete_checkpoints=True, grace_s=1.0)
    for mode in ("", "ignore"):
        backend.start_trial({"mode": mode})
    poll(backend, [0, 1], lambda reports: len({trial_id for trial_id, _ in reports}) == 2, wait_for)
    wait_for(lambda: all((backend.checkpoint_trial_path(i) / "epoch.json").exists() for i in (0, 1)))
    backend.stop_trial(1)
    backend.start_trial({"mode": ""}, checkpoint_trial_id=1)  # as population-based training may
    assert (backend.checkpoint_trial_path(2) / "epoch.json").exists()
    assert backend.checkpoint_trial_path(1).exists()  # it still writes there
    poll(backend, [0], lambda _: not backend.checkpoint_trial_path(1).exists(), wait_for)
    assert backend.checkpoint_trial_path(0).exists()
    backend.stop_all()
    assert not any(backend.checkpoint_trial_path(i).exists() for i in (0, 2))


def test_the_incumbents_checkpoints_stay(script, wait_for):
    backend = make_backend(script, delete_checkpoints=True, time_attr="epoch")
    trials = [backend.start_trial({}) for _ in range(2)]
    reports = poll(backend, [0, 1], lambda reports: len({trial_id for trial_id, _ in reports}) == 2, wait_for)
    generations = GenerationStore(backend.checkpoint_trial_path(0)).generations
    wait_for(lambda: any(generation.after >= 1 for generation in generations()))
    wait_for((backend.checkpoint_trial_path(1) / "epoch.json").exists)
    trials[0].publish(next(report for trial_id, report in reports if trial_id == 0))
    for trial_id in (0, 1):
        backend.stop_trial(trial_id)
        backend.delete_checkpoint(trial_id)
    poll(backend, [], lambda _: not backend.checkpoint_trial_path(1).exists(), wait_for)
    backend.stop_all()
    assert (backend.checkpoint_trial_path(0) / "epoch.json").exists()
    assert (backend.local_path / "best" / "checkpoint" / "epoch.json").exists()
    # A backend that knows nothing but the folder, as after a resume.
    other = make_backend(script, delete_checkpoints=True)
    other.set_path(str(backend.local_path))
    other.delete_checkpoint(0)
    other.stop_all()
    assert backend.checkpoint_trial_path(0).exists()


@pytest.mark.parametrize("strategy", ["published", pytest.param("adaptive", marks=pytest.mark.slow)])
def test_a_tuning_keeps_few_checkpoints_and_best(script, strategy):
    options = {"strategy": strategy, "scaling": {1: 1, 4: 3}}
    if strategy == "published":
        options = {"strategy": PublishedRules(fixed_exploration=0.5), "grace_period": 2}
    space = {"x": uniform(0, 1), "mode": choice(["", "", "nan"])}
    over_but_running = []

    def tune(deadline_s):
        options["deadline_s"] = deadline_s
        scheduler = HyperSched(space, "loss", "epoch", max_t=40, num_devices=4, random_seed=3, **options)
        backend = make_backend(script, delete_checkpoints=True)
        running = backend.fetch_status_results

        def watched(trial_ids):
            over = set(scheduler.trials_checkpoints_can_be_removed())
            over_but_running.extend(over & {trial_id for trial_id, _ in backend.busy_trial_ids()} & set(trial_ids))
            return running(trial_ids)

        backend.fetch_status_results = watched
        return scheduler, backend, run(backend, scheduler, Deadline(deadline_s, backend), save_tuner=False)

    # On a busy machine, three seconds may be over before there is anything to remove or keep.
    for deadline_s in (3, 30, 120):
        scheduler, backend, tuner = tune(deadline_s)
        events = read_events(tuner.tuner_path / "events.jsonl")
        gone = {event.trial_id: event for event in events if event.event == "remove_checkpoint"}
        if gone and (tuner.tuner_path / "best" / "checkpoint" / "epoch.json").exists():
            break
    assert_sound(tuner)
    assert gone
    assert over_but_running == []
    for event in events:
        if event.trial_id in gone and event.event in ("start", "resume", "launch"):
            assert event.time_s < gone[event.trial_id].time_s
    assert sum(event.details["bytes_freed"] for event in gone.values()) > 0
    left = [i for i in backend.trial_ids if backend.checkpoint_trial_path(i).exists()]
    assert left == [scheduler.incumbent.trial_id]
    assert (tuner.tuner_path / "best" / "checkpoint" / "epoch.json").exists()


@pytest.mark.parametrize("do_minimize", [pytest.param(True, marks=pytest.mark.slow), False])
def test_the_best_checkpoint_of_a_scheduler_that_tells_the_backend_nothing(script, do_minimize):
    space = {"x": uniform(0, 1), "epochs": 4}
    points = [{"x": x} for x in (0.3, 0.1, 0.2, 0.7)]
    scheduler = RandomSearch(space, metrics=["loss"], do_minimize=do_minimize, points_to_evaluate=points, random_seed=1)
    backend = make_backend(script, delete_checkpoints=True, time_attr="epoch")
    tuner = run(backend, scheduler, StoppingCriterion(max_num_trials_finished=4), n_workers=2)
    table = results(tuner)
    best = table.loc[table.loss.idxmin() if do_minimize else table.loss.idxmax()]
    published = json.loads((tuner.tuner_path / "best" / "result.json").read_text())
    assert (published["trial_id"], published["epoch"], published["loss"]) == (best.trial_id, best.epoch, best.loss)
    (checkpoint,) = (tuner.tuner_path / "best" / "checkpoint").iterdir()
    assert json.loads(checkpoint.read_text()) >= best.epoch
    assert published["st_checkpoint"]["level"] == best.epoch


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_the_stock_backend_removes_what_a_scheduler_of_this_package_needs_no_longer(script):
    backend = LocalBackend(str(script), rotate_gpus=False, delete_checkpoints=True)
    space = {"x": uniform(0, 1), "mode": choice(["", "nan"])}
    scheduler = ASHA(space, "loss", "epoch", max_t=9, grace_period=3, type="promotion", random_seed=1)
    kept = {}

    class Watch(TunerCallback):
        has_finite = False

        def on_trial_result(self, trial, status, result, decision):
            self.has_finite = self.has_finite or not math.isnan(result["loss"])

        def on_tuning_end(self):
            kept.update({i: backend.checkpoint_trial_path(i).exists() for i in backend.trial_ids})

    watch = Watch()
    tuner = run(
        backend,
        scheduler,
        lambda status: status.num_trials_started >= 6 and watch.has_finite,
        callbacks=[StoreResultsCallback(), watch],
    )
    for process in backend.trial_subprocess.values():
        process.wait()
    table = results(tuner)
    # They are paused, but never resumed: Syne Tune alone keeps what they have written.
    diverged = set(table[table.loss.isna() & (table.st_decision == "PAUSE")].trial_id)
    assert diverged
    assert not any(kept[trial_id] for trial_id in diverged)
    assert any(kept.values())


def test_a_trial_can_start_from_the_checkpoint_of_a_running_one(script, wait_for, caplog):
    backend = make_backend(script)
    backend.start_trial({"x": 1.0})
    poll(backend, [0], lambda reports: len(reports) >= 5, wait_for)
    store = GenerationStore(backend.checkpoint_trial_path(0))
    wait_for(lambda: any(generation.after >= 5 for generation in store.generations()))
    backend.start_trial({"x": 1.0}, checkpoint_trial_id=0)
    ((_, first), *_) = poll(backend, [1], bool, wait_for)
    assert first["epoch"] >= 5
    backend.start_trial({"x": 1.0})
    backend.start_trial({"x": 1.0}, checkpoint_trial_id=2)  # which has had no time to write one
    assert "Trial 2 has no checkpoint" in caplog.text
    backend.stop_all()


@pytest.mark.slow
def test_a_saved_tuner_can_be_looked_at_in_another_process(script):
    def many_are_paused(status):
        return list(status.last_trial_status_seen.values()).count(Status.paused) > 5

    tuner = run(make_backend(script), asha(type="promotion"), many_are_paused)
    code = textwrap.dedent(
        f"""
        from syne_tune import Tuner
        tuner = Tuner.load({str(tuner.tuner_path)!r})
        backend = tuner.trial_backend
        paused = [t.trial_id for t in backend._trial_dict.values() if t.status == "Paused"]
        backend.resume_trial(paused[0])
        while not (reports := backend.fetch_status_results([paused[0]])[1]):
            pass
        print(paused[0], reports[0][1]["epoch"], reports[0][1]["st_launch"])
        backend.stop_all()
        """
    )
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=280, env=env, check=False
    )
    assert printed.returncode == 0, printed.stderr
    trial_id, epoch, launch = map(int, printed.stdout.split()[-3:])
    table = results(tuner)
    before = table[table.trial_id == trial_id]
    assert epoch == before.epoch.max() + 1
    # A report that came after the decision to pause is kept for the resume.
    assert launch - before.st_launch.max() in (0, 1)


def test_ctrl_c_leaves_the_best_and_no_process(script, tmp_path, wait_for, forked):
    launcher = tmp_path / "launch.py"
    launcher.write_text(
        textwrap.dedent(
            f"""
            from syne_tune import Tuner
            from syne_tune.config_space import uniform
            from syne_hypersched import Deadline, ElasticLocalBackend, HyperSched
            backend = ElasticLocalBackend({str(script)!r}, 2, device_type="cpu")
            scheduler = HyperSched({{"x": uniform(0, 1)}}, "loss", "epoch", max_t=500, num_devices=2, deadline_s=100)
            names = {{"tuner_name": "run", "suffix_tuner_name": False}}
            Tuner(backend, scheduler, Deadline(100, backend), n_workers=2, sleep_time=0.02, **names).run()
            """
        )
    )
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    with open(tmp_path / "log", "wb") as log:
        process = forked.start([launcher], env=env, stdout=log, stderr=log)
    best = tmp_path / "experiments" / "run" / "best"
    wait_for(lambda: (best / "checkpoint").exists())  # kept current while the tuning goes on
    descendants = psutil.Process(process.pid).children(recursive=True)
    assert descendants
    process.send_signal(signal.SIGINT)
    process.wait(timeout_s=280)
    assert "KeyboardInterrupt" in (tmp_path / "log").read_text()
    assert not psutil.wait_procs(descendants, timeout=100)[1]
    assert json.loads((best / "result.json").read_text())["loss"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_devices": 0}, "num_devices must be at least 1, but got 0"),
        ({"processes": "many"}, "processes must be"),
        ({"launch": "hot"}, "launch must be"),
        ({"grace_s": -1}, "grace_s must be"),
        ({"grace_s": float("nan")}, "grace_s must be"),
        ({"num_devices_per_trial": 5}, "num_devices_per_trial must be from 1 to 4"),
        ({"binary": ""}, "binary must name a program"),
        ({"binary": "bash", "launch": "warm"}, 'launch must be "cold"'),
        ({"device_type": "gpu", "gpus_to_use": [99]}, "gpus_to_use"),
        ({"retries": -1}, "retries must be at least 0, but got -1"),
        ({"stall_timeout_s": 0}, "stall_timeout_s must be"),
    ],
)
def test_arguments_must_make_sense(script, options, message):
    with pytest.raises(ValueError, match=message):
        ElasticLocalBackend(script, **{"num_devices": 4, "device_type": "cpu", **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grace_s": "5"}, "grace_s must be a number of seconds, at least 0, but got '5'"),
        ({"grace_s": None}, "grace_s must be a number of seconds"),
        ({"retries": 1.0}, "retries must be an integer, but got 1.0"),
        ({"retry_backoff_s": "1"}, "retry_backoff_s must be a number of seconds"),
        ({"stall_timeout_s": "60"}, "stall_timeout_s must be a number of seconds above 0, or None, but got '60'"),
        ({"min_free_mb": "100"}, "min_free_mb must be a number of megabytes"),
        ({"num_devices_per_trial": 1.0}, "num_devices_per_trial must be an integer, but got 1.0"),
        ({"num_devices_per_trial": True}, "num_devices_per_trial must be an integer, but got True"),
        ({"time_attr": 3}, "time_attr must be the name of an entry of a report, or None, but got 3"),
        ({"delete_checkpoints": "False"}, "delete_checkpoints must be True or False, but got 'False'"),
        ({"pass_args_as_json": 1}, "pass_args_as_json must be True or False, but got 1"),
        ({"preload": "torch"}, "preload must be a sequence of names"),
        ({"entry_point": 3}, "entry_point must be an existing file, but got 3"),
    ],
)
def test_arguments_must_be_of_their_types(script, options, message):
    with pytest.raises(TypeError, match=message):
        ElasticLocalBackend(**{"entry_point": script, "num_devices": 4, "device_type": "cpu", **options})


def test_numbers_of_numpy_are_numbers(script):
    backend = ElasticLocalBackend(
        script, 4, device_type="cpu", grace_s=np.float32(2), retries=np.int64(1), min_free_mb=np.int32(5),
        num_devices_per_trial=np.int64(2), retry_backoff_s=np.float64(1), stall_timeout_s=np.int64(60),
    )  # fmt: skip
    assert (type(backend.grace_s), type(backend.num_devices_per_trial)) == (float, int)


def test_the_script_must_exist(tmp_path):
    with pytest.raises(ValueError, match="entry_point must be an existing file"):
        ElasticLocalBackend(tmp_path / "nothing.py")


def test_a_value_that_no_program_can_be_given_is_an_error(script):
    backend = make_backend(script)
    with pytest.raises(ValueError, match="null character"):
        backend.start_trial({"mode": "a\0b"})
    backend.stop_all()


def test_it_says_which_devices_it_has(script):
    backend = make_backend(script, 3)
    assert str(backend) == "elastic local entry_point train.py on 3 devices"
    assert dill.loads(dill.dumps(backend)).num_devices == 3
    logging.getLogger("syne_hypersched").info("%s", backend)
