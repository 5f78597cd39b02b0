"""An unusable report affects only its own trial, with any scheduler and any backend."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend import LocalBackend

from syne_hypersched import (
    Deadline,
    ElasticLocalBackend,
    ElasticPythonBackend,
    ElasticSimulatorBackend,
    Journal,
    simulate,
)
from syne_hypersched._tables import read_csv
from syne_hypersched.experiments import QuietTunerLogger
from syne_hypersched.recovery import resume_experiment
from tests.schedulers.families import FAMILIES, SPACE, Curves, Listed, on_real_backends

BAD = {
    "without the metric": {"epoch": 2.0, "test_score": 0.9},
    "null": {"epoch": 2, "loss": None},
    "text": {"epoch": 2, "loss": "nan"},
    "a list": {"epoch": 2, "loss": [0.5]},
    "true": {"epoch": 2, "loss": True},
    "a level that is NaN": {"epoch": math.nan, "loss": 500.0},
    "an infinite level": {"epoch": math.inf, "loss": 500.0},
    "a level that is text": {"epoch": "two", "loss": 500.0},
    "without a level": {"loss": 500.0},
    "nothing": {},
}
#: One that looks at the level alone, and one that looks at the metric and at times, are given all of them.
QUICK = ("promotion", "adaptive")


def with_bad(report):
    """Curves in which a report comes after the first and after the last epoch of every trial."""
    return Curves(change=lambda x, reports: [reports[0], dict(report), *reports[1:], dict(report)])


def decisions(results):
    results = results[results.epoch.map(lambda level: isinstance(level, (int, float)) and math.isfinite(level))]
    good = results[(results.loss.notna()) & (results.loss > 0)]
    return list(zip(good.trial_id, good.epoch, good.st_decision, strict=True))


@pytest.mark.parametrize(
    ("name", "report"),
    [
        pytest.param(
            name, BAD[kind], id=f"{name}-{kind}", marks=() if number < 2 or name in QUICK else pytest.mark.slow
        )
        for name in FAMILIES
        for number, kind in enumerate(BAD)
    ],
)
def test_it_is_left_out_and_the_rest_is_as_if_it_had_not_been_there(name, report, caplog):
    searchers, all_decisions, incumbents = [], [], []
    for curves in (Curves(), with_bad(report)):
        searchers.append(Listed())
        # One device, so that the time that the additional report takes changes no order.
        scheduler = FAMILIES[name](num_devices=1, searcher=searchers[-1])
        simulation = simulate(scheduler, curves, num_devices=1, deadline_s=1000.0)
        all_decisions.append(decisions(simulation.results))
        incumbents.append((scheduler.incumbent.trial_id, scheduler.incumbent.value, scheduler.incumbent.resource))
        assert simulation.best("loss") == scheduler.incumbent.value
    if name in ("stopping", "promotion", "pasha"):
        assert all_decisions[0] == all_decisions[1]
        assert searchers[0].told == searchers[1].told
    assert incumbents[0] == incumbents[1]
    assert all(isinstance(value, float) for _, value in searchers[1].told)
    left_out = [record for record in caplog.records if "the report is left out" in record.getMessage()]
    assert len(left_out) == 1


@pytest.mark.parametrize("name", FAMILIES)
def test_a_trial_that_reports_nothing_else_completes(name):
    curves = Curves(change=lambda x, reports: [{"note": "only"}] * 3 if x == 2 else reports)
    simulation = simulate(FAMILIES[name](), curves, num_devices=2, deadline_s=1000.0)
    decided = simulation.results[simulation.results.config_x == 2].st_decision
    assert set(decided) == {"CONTINUE"}
    assert simulation.results[simulation.results.config_x == 0].epoch.max() >= 3


@pytest.mark.parametrize("name", FAMILIES)
def test_every_result_has_the_schedulers_columns(name):
    results = simulate(FAMILIES[name](), with_bad(BAD["null"]), num_devices=2, deadline_s=1000.0).results
    for column in {"st_admission_open", "st_pasha_max_t"} & set(results):
        assert results[column].notna().all()


@pytest.mark.parametrize("report", BAD.values(), ids=BAD)
def test_syne_tunes_statistics_go_on(report, tmp_path, monkeypatch):
    """Its Tuner, status, and table of results, in which the metric stays a column of numbers."""
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    backend = ElasticSimulatorBackend(with_bad(report), "elapsed_s", 2)
    tuner = Tuner(
        backend, FAMILIES["promotion"](), Deadline(1000.0, trial_backend=backend), n_workers=2, sleep_time=0,
        output_logger=QuietTunerLogger(), save_tuner=False,
    )  # fmt: skip
    tuner.run()
    status = tuner.tuning_status
    assert status.overall_metric_statistics.min_metrics["loss"] == min(
        row.min_metrics["loss"] for row in status.trial_metric_statistics.values()
    )
    table = read_csv(tuner.tuner_path / "results.csv.zip")
    assert pd.api.types.is_numeric_dtype(table.loss)
    assert pd.api.types.is_numeric_dtype(table.epoch)


def train(x, st_checkpoint_dir):
    import json
    import os
    import time

    os.makedirs(st_checkpoint_dir, exist_ok=True)
    path = os.path.join(st_checkpoint_dir, "epoch.json")
    done = 0
    if os.path.exists(path):
        with open(path) as file:
            done = json.load(file)

    def say(**report):
        print("[tune-metric]: " + json.dumps({**report, "st_worker_timestamp": time.time()}), flush=True)

    for epoch in range(max(done, 1), 10):
        with open(path + ".new", "w") as file:
            json.dump(epoch, file)
        os.replace(path + ".new", path)
        say(epoch=epoch, loss=x + 1 / epoch, st_worker_iter=epoch, st_worker_time=float(epoch))
        say(epoch=epoch, loss=None)
        say(epoch=epoch, loss="diverged")
        say(epoch="last", loss=[0.5])
    say(test_score=0.5)


def train_large(x, st_checkpoint_dir):
    """One configuration reports a level that is no count, and another one a metric that is no loss."""
    import json
    import os
    import time

    os.makedirs(st_checkpoint_dir, exist_ok=True)
    path = os.path.join(st_checkpoint_dir, "epoch.json")
    done = 0
    if os.path.exists(path):
        with open(path) as file:
            done = json.load(file)
    for epoch in range(done + 1, 10):
        with open(path + ".new", "w") as file:
            json.dump(epoch, file)
        os.replace(path + ".new", path)
        report = {
            "epoch": 1e30 if (x, epoch) == (3, 2) else epoch,
            "loss": 1e30 if (x, epoch) == (2, 2) else x + 1 / epoch,
        }
        print("[tune-metric]: " + json.dumps({**report, "st_worker_timestamp": time.time()}), flush=True)
        time.sleep(0.01)


SCRIPT = """
import argparse, inspect
{function}
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--st_checkpoint_dir")
{name}(**vars(parser.parse_args()))
"""


class Interrupted(Journal):
    """Ends the tuner, as a signal does, right after the scheduler has received an unusable report."""

    interrupts = True

    def on_trial_result(self, trial, status, result, decision):
        super().on_trial_result(trial, status, result, decision)
        if self.interrupts and "test_score" not in result and not isinstance(result.get("epoch"), int):
            raise KeyboardInterrupt


class Whole(Interrupted):
    interrupts = False


def make_tuner(name, backend, journal=None):
    return Tuner(
        backend, FAMILIES[name](), StoppingCriterion(max_wallclock_time=600), n_workers=2, sleep_time=0.01,
        callbacks=None if journal is None else [journal], tuner_name=name, suffix_tuner_name=False, save_tuner=False,
        output_logger=QuietTunerLogger(),
    )  # fmt: skip


def make_script(folder: Path, function=train) -> str:
    import inspect

    (folder / "train.py").write_text(SCRIPT.format(function=inspect.getsource(function), name=function.__name__))
    return str(folder / "train.py")


def function_backend(folder, function=train):
    return ElasticPythonBackend(function, SPACE, 2, device_type="cpu", grace_s=1.0)


def local_backend(folder, function=train):
    return ElasticLocalBackend(make_script(folder, function), 2, device_type="cpu", grace_s=1.0)


@pytest.mark.usefixtures("no_process_left")
@pytest.mark.parametrize(("name", "make_backend"), on_real_backends(function_backend, local_backend))
def test_it_ends_neither_a_tuning_nor_its_resume(name, make_backend, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        make_tuner(name, make_backend(tmp_path), Interrupted()).run()
    tuner = resume_experiment(name, make_tuner(name, make_backend(tmp_path), Whole()))
    rows = tuner.tuning_status.trial_rows
    assert len(rows) == 4
    assert rows[tuner.scheduler.incumbent.trial_id]["x"] == 0


@pytest.mark.usefixtures("no_process_left")
@pytest.mark.parametrize(("name", "make_backend"), on_real_backends(function_backend, local_backend))
def test_a_number_that_is_far_too_large_is_taken_as_it_is(name, make_backend, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    tuner = make_tuner(name, make_backend(tmp_path, train_large))
    tuner.run()
    rows = tuner.tuning_status.trial_rows
    assert len(rows) == 4
    incumbent = tuner.scheduler.incumbent
    assert rows[incumbent.trial_id]["x"] == 0
    assert incumbent.resource <= 9
    results = read_csv(tuner.tuner_path / "results.csv.zip")
    for _, trial in results.groupby("trial_id"):
        large = (trial.epoch.to_numpy() > 9).nonzero()[0]
        assert list(large) in ([], [len(trial) - 1])  # nothing comes after it
        assert all(trial.st_decision.to_numpy()[large] == "STOP")
    warned = [record.getMessage() for record in caplog.records if "hardly a count" in record.getMessage()]
    assert len(warned) == (results.epoch > 9).any()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_it_ends_no_tuning_on_syne_tunes_own_backend(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # Syne Tune writes a file std.out where it is
    tuner = make_tuner("adaptive", LocalBackend(make_script(tmp_path)))
    tuner.run()
    assert tuner.scheduler.incumbent is not None
