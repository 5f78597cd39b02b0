"""Reports of real trials: what scripts and functions print at which level, over resizes, pauses and runs."""

from __future__ import annotations

import inspect
import json
import logging
from itertools import pairwise

import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend.trial_status import Status
from syne_tune.config_space import uniform

from syne_hypersched import ASHA, PASHA, ElasticLocalBackend, ElasticPythonBackend, HyperSched, Journal
from syne_hypersched.backends.shared.reports import LogTail
from syne_hypersched.experiments import Report, check_reports, check_run, load_run, read_events
from syne_hypersched.experiments._best import describe_best

pytestmark = pytest.mark.usefixtures("no_process_left")


def train(x, epochs, mode, st_checkpoint_dir):
    import json
    import os
    import time
    from pathlib import Path

    from tests.reporter import Reporter

    folder = Path(st_checkpoint_dir)
    checkpoint = folder / "epoch.json"
    saved = json.loads(checkpoint.read_text()) if checkpoint.exists() and mode != "never loads" else 0
    begin = 0 if mode == "counts anew" else saved
    report = Reporter()
    for epoch in range(begin + 1, epochs + 1):
        time.sleep(0.02)
        if mode == "prints":
            print("x" * 79 + "\n" + "y" * (1 << 20), flush=True)
        if mode == "two metrics":
            report(epoch=epoch, train_loss=1 / epoch)
        if mode == "two splits":
            report(epoch=epoch, loss=x / epoch, trained=0)
        saves_every = 3 if mode == "saves rarely" else 1
        if os.environ.get("RANK", "0") == "0" and epoch % saves_every == 0:
            folder.mkdir(parents=True, exist_ok=True)
            checkpoint.with_suffix(".new").write_text(json.dumps(epoch))
            os.replace(checkpoint.with_suffix(".new"), checkpoint)
        names = {"trial_id": 77, "config_x": "boo", "elapsed_time": 3} if mode == "names" else {}
        report(epoch=epoch, loss=x + 1 / epoch, trained=saved + epoch - begin, **names)


SCRIPT = f"""
import argparse
{inspect.getsource(train)}
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--epochs", type=int)
parser.add_argument("--mode")
parser.add_argument("--st_checkpoint_dir")
train(**vars(parser.parse_args()))
"""


@pytest.fixture
def make_backend(tmp_path, monkeypatch):
    """Makes a backend whose trials train as above, as a script or as a function."""
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))

    def make(kind, mode, epochs=1000, num_devices=2, **options):
        options = {"device_type": "cpu", "grace_s": 0.5, "time_attr": "epoch"} | options
        if kind == "function":
            space = {"x": uniform(0, 1), "epochs": epochs, "mode": mode}
            backend = ElasticPythonBackend(train, space, num_devices, **options)
        else:
            path = tmp_path / "train.py"
            path.write_text(SCRIPT)
            backend = ElasticLocalBackend(path, num_devices, **options)
        backend.set_path(str(tmp_path / "run"))
        backend.config = {"x": 0.5, "epochs": epochs, "mode": mode}
        return backend

    return make


class Watched:
    """The first trial of a backend, driven by hand."""

    def __init__(self, backend, wait_for):
        self.backend, self.wait_for = backend, wait_for
        self.reports = []
        self.status = ""
        self.trial = backend.start_trial(backend.config)

    def until(self, condition):
        def polled():
            statuses, reports = self.backend.fetch_status_results([0])
            self.status = statuses[0][1]
            self.reports += [report for _, report in reports]
            return condition()

        self.wait_for(polled)

    def until_reported(self, number, **values):
        """Waits until a number of further reports with these values has come."""
        known = len(self.reports)
        self.until(
            lambda: sum(values.items() <= report.items() for report in self.reports[known:]) >= number,
        )

    def relaunch(self):
        self.backend.pause_trial(0, self.reports[-1])
        self.until(lambda: self.backend._fleet.is_idle(0))
        self.backend.resume_trial(0)

    def events(self, event):
        path = self.backend._experiment_path / "events.jsonl"
        return [each for each in read_events(path) if each.event == event]


def both(*cases):
    """Each case with a script and with a function; every second one of these is slow."""
    kinds = [("local", "function"), ("function", "local")]
    return [
        pytest.param(kind, *case, marks=[pytest.mark.slow] if slow else [])
        for number, case in enumerate(cases or [()])
        for kind, slow in zip(kinds[number % 2], (False, True), strict=True)
    ]


@pytest.mark.parametrize(("kind", "time_attr"), both(("st_worker_time",), ("st_device_time",)))
def test_time_goes_on_over_a_resize_and_a_pause(make_backend, wait_for, kind, time_attr):
    backend = make_backend(kind, "saves rarely", time_attr=time_attr)
    trial = Watched(backend, wait_for)
    trial.until_reported(4)
    trial.trial.resize(2)
    trial.until_reported(2, st_num_devices=2)
    trial.trial.resize(1)
    trial.until_reported(2, st_launch=2)
    trial.relaunch()
    trial.until_reported(3, st_launch=3)
    backend.stop_all()
    levels = [report[time_attr] for report in trial.reports]
    assert all(before < after for before, after in pairwise(levels))
    # Nothing is left out, not even work that was done again, and seconds of two devices count twice.
    printed = [raw.values for raw in LogTail(backend.trial_path(0) / "std.out").reports(to_the_end=True)]
    time_s = device_time_s = 0.0
    for report, raw, next_ in zip(trial.reports, printed, [*trial.reports[1:], None], strict=False):
        assert report["epoch"] == raw["epoch"]
        assert report["st_worker_time"] == pytest.approx(time_s + raw["st_worker_time"])
        assert report["st_device_time"] == pytest.approx(
            device_time_s + report["st_num_devices"] * raw["st_worker_time"]
        )
        if next_ is not None and next_["st_launch"] != report["st_launch"]:
            time_s, device_time_s = report["st_worker_time"], report["st_device_time"]
    assert {report["st_num_devices"] for report in trial.reports} == {1, 2}


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *both(("never loads",)),
        *(pytest.param(kind, "counts anew", marks=pytest.mark.slow) for kind in ("local", "function")),
    ],
)
def test_a_script_that_starts_from_the_beginning_gets_one_warning(make_backend, wait_for, caplog, kind, mode):
    backend = make_backend(kind, mode)
    trial = Watched(backend, wait_for)
    trial.until_reported(2)
    for launch in (1, 2, 3):
        trial.relaunch()
        trial.until_reported(2, st_launch=launch)
    backend.stop_all()
    (record,) = [record for record in caplog.records if "have started from the beginning" in record.getMessage()]
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(
        "2 of 2 relaunches have started from the beginning: the first report of launch 2 of trial 0 has level 1"
    )
    redone = [event.details for event in trial.events("redo")]
    assert [(entry["level"], entry["first"]) for entry in redone] == [(1, 1)] * 3
    assert all(entry["before"] > 1 for entry in redone)
    epochs = [report["epoch"] for report in trial.reports]
    assert epochs == list(range(1, len(epochs) + 1))


def test_a_script_that_goes_on_is_not_spoken_of(make_backend, wait_for, caplog):
    backend = make_backend("local", "")
    trial = Watched(backend, wait_for)
    trial.until_reported(2)
    for launch in (1, 2, 3):
        trial.relaunch()
        trial.until_reported(2, st_launch=launch)
    backend.stop_all()
    assert "started from the beginning" not in caplog.text
    assert all(event.details["level"] > 1 for event in trial.events("redo"))


@pytest.mark.parametrize("kind", both())
def test_both_reports_of_an_epoch_reach_the_tuner(make_backend, wait_for, kind):
    backend = make_backend(kind, "two metrics", epochs=12)
    trial = Watched(backend, wait_for)
    trial.until_reported(4)
    trial.trial.resize(2)
    trial.until_reported(3, st_num_devices=2)
    trial.relaunch()
    trial.until(lambda: trial.status != Status.in_progress)
    backend.stop_all()
    losses, train_losses = ([r["epoch"] for r in trial.reports if name in r] for name in ("loss", "train_loss"))
    assert set(losses) | set(train_losses) == set(range(1, 13))
    assert len(set(losses)) == len(losses)
    assert len(set(train_losses)) == len(train_losses)
    reports = [
        Report(0, 0.0, r["epoch"], 0.0, launch=r["st_launch"], iteration=r["st_worker_iter"]) for r in trial.reports
    ]
    assert check_reports(reports) == ()


@pytest.mark.parametrize("kind", both())
def test_a_second_run_under_an_old_name_does_not_read_old_logs(make_backend, wait_for, caplog, kind):
    for run, x in enumerate((0.25, 0.75)):
        backend = make_backend(kind, "never loads", epochs=3)
        backend.config |= {"x": x}
        trial = Watched(backend, wait_for)
        trial.until(lambda trial=trial: trial.status == Status.completed)
        backend.stop_all()
        assert [report["loss"] for report in trial.reports] == [x + 1, x + 1 / 2, x + 1 / 3]
        assert len([line for line in backend.stdout(0) if "tune-metric" in line]) == 3
        assert ("has logs of an earlier run" in caplog.text) == (run == 1)
    of_first_run = '"loss": 0.75,'
    assert of_first_run in (backend.trial_path(0) / "std.out.1").read_text()
    assert of_first_run not in (backend.trial_path(0) / "std.out").read_text()


def test_a_log_is_read_without_the_lock_of_the_fleet(make_backend, wait_for, monkeypatch):
    """Output of a script delays neither a poll nor the end of a launch."""
    backend, seen = make_backend("local", "prints", epochs=30), []
    scan = LogTail._scan

    def watched_scan(tail, chunk, **options):
        if len(chunk) > 1 << 20:
            seen.append(backend._fleet._state.lock._is_owned())
        return scan(tail, chunk, **options)

    monkeypatch.setattr(LogTail, "_scan", watched_scan)
    trial = Watched(backend, wait_for)
    wait_for(lambda: backend._fleet.is_idle(0))
    trial.until(lambda: trial.status == Status.completed)
    backend.stop_all()
    assert [report["epoch"] for report in trial.reports] == list(range(1, 31))
    assert seen
    assert not any(seen)


SCHEDULERS = {
    "adaptive": lambda *args: HyperSched(*args, num_devices=2, deadline_s=60, strategy="adaptive"),
    "published": lambda *args: HyperSched(*args, num_devices=2, deadline_s=60, strategy="published"),
    "ASHA": lambda *args: ASHA(*args, type="promotion"),
    "PASHA": PASHA,
}


@pytest.mark.parametrize("kind", both())
@pytest.mark.parametrize(
    "name", [name if name == "ASHA" else pytest.param(name, marks=pytest.mark.slow) for name in SCHEDULERS]
)
def test_a_script_with_two_reports_for_each_epoch_breaks_no_rule(make_backend, kind, name):
    backend = make_backend(kind, "two splits", epochs=9)
    space = {"x": uniform(0, 1), "epochs": 9, "mode": "two splits"}
    scheduler = SCHEDULERS[name](space, "loss", "epoch", 9)
    stop = StoppingCriterion(max_wallclock_time=60, max_num_trials_started=6)  # a busy machine may need some of it
    tuner = Tuner(backend, scheduler, stop, n_workers=2, sleep_time=0.02, tuner_name=f"both-{name}")
    tuner.run()
    run = load_run(tuner.tuner_path)
    assert len(run.reports) > len({(report.trial_id, report.resource) for report in run.reports})
    assert check_run(run) == ()


@pytest.mark.parametrize("kind", both())
def test_names_of_a_report_that_are_the_tuner_s_own_change_nothing(make_backend, kind, caplog):
    """A script may report all of its arguments, for instance, of which one has such a name."""
    backend = make_backend(kind, "names", epochs=2)
    space = {"x": uniform(0, 1), "epochs": 2, "mode": "names"}
    stop = StoppingCriterion(max_num_trials_finished=3)
    scheduler = ASHA(space, "loss", "epoch", 2, type="stopping", reduction_factor=100)
    tuner = Tuner(backend, scheduler, stop, n_workers=2, sleep_time=0.02, callbacks=[Journal()])
    tuner.run()
    run = load_run(tuner.tuner_path)
    best = json.loads((tuner.tuner_path / "best" / "result.json").read_text())
    # Which of the best reports has left a checkpoint depends on when its trial was stopped.
    (trial_id,) = {report.trial_id for report in run.reports if report.value == best["loss"]}
    assert best["trial_id"] == trial_id != 77
    assert (best["reported_trial_id"], best["elapsed_time"]) == (77, 3)
    assert f"of trial {trial_id} at epoch {best['epoch']}" in describe_best(run)
    assert set(run.configs[0]) == {"x", "epochs", "mode"}
    assert all(isinstance(config["x"], float) for config in run.configs.values())
    assert [found for found in check_run(run) if found.rule != "best"] == []
    (warning,) = [record.message for record in caplog.records if "has reported trial_id" in record.message]
    assert "kept as reported_trial_id and config_x" in warning


def test_a_last_report_that_is_no_number_does_not_end_the_statistics_of_the_metric(tmp_path, monkeypatch):
    """The tuner reads it with the report at which the trial is stopped, often when the script has ended already."""
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    script = tmp_path / "train.py"
    lines = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.4}, {"epoch": 2, "loss": None, "test_score": 0.9}]
    script.write_text("".join(f"print({f'[tune-metric]: {json.dumps(line)}'!r})\n" for line in lines))
    backend = ElasticLocalBackend(script, 1, device_type="cpu", preload=())
    scheduler = ASHA({"x": uniform(0, 1)}, "loss", "epoch", max_t=2, random_seed=0)
    tuner = Tuner(
        backend, scheduler, StoppingCriterion(max_num_trials_finished=3), n_workers=1, callbacks=[Journal()],
        print_update_interval=1e9,
    )  # fmt: skip
    tuner.run()
    statistics = tuner.tuning_status.overall_metric_statistics
    assert statistics.is_numeric["loss"]
    assert statistics.min_metrics["loss"] == 0.4
    assert statistics.count == len(load_run(tuner.tuner_path).reports)
