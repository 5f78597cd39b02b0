"""Trackers get one run for each trial, from a real tuning whose trials are paused, resumed and resized."""

from __future__ import annotations

import json
import os
import struct
import sys

import dill
import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import choice, uniform
from syne_tune.results_callback import StoreResultsCallback

from syne_hypersched import ASHA, ElasticLocalBackend
from syne_hypersched._tables import read_csv
from syne_hypersched.records.events import read_events

SCRIPT = """
import argparse, json, os, time
from pathlib import Path
from tests.reporter import Reporter

parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--kind")
parser.add_argument("--st_checkpoint_dir", type=Path)
args = parser.parse_args()
path = args.st_checkpoint_dir / "epoch.json"
done = json.loads(path.read_text()) if path.exists() else 0
report = Reporter()
for epoch in range(done + 1, 10):
    time.sleep(0.02)
    args.st_checkpoint_dir.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".new").write_text(json.dumps(epoch))
    os.replace(path.with_suffix(".new"), path)
    report(epoch=epoch, loss=args.x + 1 / epoch, kind=args.kind)
"""


class GrowingASHA(ASHA):
    """Gives a second device to each trial that is promoted."""

    def on_trial_result(self, trial, result):
        decision = super().on_trial_result(trial=trial, result=result)
        if decision == "CONTINUE" and result["epoch"] >= 3 and trial.num_devices == 1:
            trial.resize(2)
        return decision


def tune(tmp_path, monkeypatch, *loggers):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    (tmp_path / "train.py").write_text(SCRIPT)
    space = {"x": uniform(0, 1), "kind": choice(["a", "b"])}
    scheduler = GrowingASHA(space, "loss", time_attr="epoch", max_t=9, type="promotion", random_seed=0)
    backend = ElasticLocalBackend(
        tmp_path / "train.py", num_devices=2, device_type="cpu", processes="single", share_devices=True
    )
    tuner = Tuner(
        backend, scheduler, StoppingCriterion(max_num_trials_started=6), n_workers=2, sleep_time=0.02,
        callbacks=[StoreResultsCallback(), *loggers], tuner_name="logged", results_update_interval=0.1,
    )  # fmt: skip
    tuner.run()
    return tuner, read_csv(tuner.tuner_path / "results.csv.zip")


def best_trial(table):
    return int(table.loc[table.loss.idxmin()].trial_id)


def test_tensorboard_has_a_run_for_each_trial(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from syne_hypersched.integrations.tensorboard import TensorBoardLogger

    tuner, table = tune(tmp_path, monkeypatch, TensorBoardLogger())
    folders = {path.name for path in (tuner.tuner_path / "tensorboard").iterdir()}
    assert folders >= {f"trial-{trial_id}" for trial_id in table.trial_id.unique()}
    for trial_id, reports in table.groupby("trial_id"):
        run = EventAccumulator(str(tuner.tuner_path / "tensorboard" / f"trial-{trial_id}")).Reload()
        losses = {scalar.step: scalar.value for scalar in run.Scalars("loss")}
        assert losses == pytest.approx(dict(zip(reports.epoch, reports.loss, strict=True)))
        assert {scalar.value for scalar in run.Scalars("st_num_devices")} >= set(reports.st_num_devices)
        texts = run.Tags()["tensors"]
        assert "configuration" in texts
        if (reports.st_decision == "PAUSE").any():
            # Each launch has a file, and files of one second are not read in the order of their making.
            first = min(run.Tensors("decision"), key=lambda decision: decision.wall_time)
            assert first.tensor_proto.string_val[0] == b"pause"
    best = EventAccumulator(str(tuner.tuner_path / "tensorboard" / f"trial-{best_trial(table)}")).Reload()
    assert b"at epoch" in best.Tensors("incumbent")[-1].tensor_proto.string_val[0]
    assert best.Tensors("result")[-1].tensor_proto.string_val[0] == b"incumbent at the end of the tuning"
    reasons = {event.reason for event in read_events(tuner.tuner_path / "events.jsonl") if event.event == "decision"}
    if reasons:
        said = (
            best.Tensors("reason")[-1].tensor_proto.string_val[0].decode() if "reason" in best.Tags()["tensors"] else ""
        )
        assert not said or said.split(": ", 1)[1] in reasons


def test_mlflow_has_a_run_for_each_trial(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    from syne_hypersched.integrations.mlflow import MLflowLogger

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "runs").as_uri()
    client = mlflow.MlflowClient(tracking_uri=uri)
    try:
        client.create_experiment("digits")
    except mlflow.exceptions.MlflowException as error:
        pytest.skip(f"no store in files: {error}")
    _, table = tune(tmp_path, monkeypatch, MLflowLogger("digits", uri))
    experiment = client.get_experiment_by_name("digits")
    runs = {int(run.data.tags["syne_hypersched.trial"]): run for run in client.search_runs([experiment.experiment_id])}
    assert runs.keys() >= set(table.trial_id)
    for trial_id, reports in table.groupby("trial_id"):
        run = runs[trial_id]
        losses = {metric.step: metric.value for metric in client.get_metric_history(run.info.run_id, "loss")}
        assert losses == pytest.approx(dict(zip(reports.epoch, reports.loss, strict=True)))
        assert float(run.data.params["x"]) == reports.config_x.iloc[0]
        assert run.data.tags["syne_hypersched.tuning"].startswith("logged")
        history = client.get_metric_history(run.info.run_id, "st_num_devices")
        assert {metric.value for metric in history} >= set(reports.st_num_devices)
    best = runs[best_trial(table)]
    assert best.data.tags["result"] == "incumbent at the end of the tuning"
    assert sum("result" in run.data.tags for run in runs.values()) == 1
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


def test_a_run_of_mlflow_is_found_again_by_another_tuner(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    from syne_hypersched.integrations.mlflow import MLflowLogger

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    logger = MLflowLogger("digits", (tmp_path / "runs").as_uri())
    logger._name = "logged"
    for _ in range(2):
        try:
            logger._begin()
        except mlflow.exceptions.MlflowException as error:
            pytest.skip(f"no store in files: {error}")
        logger._open(3, {"x": 1.0})
        logger._write(3, 1, {"loss": 0.5})
        logger = dill.loads(dill.dumps(logger))
        logger._runs.clear()
    assert len(logger._connect().search_runs([logger._experiment_id])) == 1


@pytest.mark.parametrize("name", ["recall@10", "f1 (macro)", "+model.width", "../loss", "a//b", "x" * 300, "val/acc"])
def test_mlflow_takes_names_of_any_characters(tmp_path, monkeypatch, name):
    mlflow = pytest.importorskip("mlflow")
    from syne_hypersched.integrations.mlflow import MLflowLogger

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    logger = MLflowLogger("digits", (tmp_path / "runs").as_uri())
    try:
        logger._begin()
    except mlflow.exceptions.MlflowException as error:
        pytest.skip(f"no store in files: {error}")
    logger._open(3, {name: "v" * 9000})
    logger._write(3, 1, {name: 0.5, "loss": 0.25})
    (run,) = logger._connect().search_runs([logger._experiment_id])
    assert sorted(run.data.metrics.values()) == [0.25, 0.5]
    assert name != "val/acc" or run.data.metrics[name] == 0.5
    assert [set(value) for value in run.data.params.values()] == [{"v"}]


def read_offline(path):
    """The records of a run that wandb has stored for later: a log of LevelDB after a header of seven bytes."""
    from wandb.proto import wandb_internal_pb2

    data, position, parts = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the end of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


@pytest.mark.slow
def test_wandb_has_a_run_for_each_trial(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    from syne_hypersched.integrations.wandb import WandbLogger

    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    tuner, table = tune(tmp_path, monkeypatch, WandbLogger("digits", mode="offline"))
    history, summary, groups = {}, {}, set()
    for path in sorted(
        (tuner.tuner_path / "wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime
    ):
        run = None
        for record in read_offline(path):
            if record.HasField("run"):
                run = record.run.run_id
                groups.add(record.run.run_group)
            elif record.HasField("history"):
                values = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
                history.setdefault(run, []).append(values)
            elif record.HasField("summary"):
                for item in record.summary.update:
                    summary.setdefault(run, {})[item.key or item.nested_key[0]] = json.loads(item.value_json)
    assert groups == {tuner.name}
    reported = {run for run, rows in history.items() if any("loss" in row for row in rows)}
    assert {int(run.rpartition("-")[2]) for run in reported} == set(table.trial_id)
    for run, rows in history.items():
        reports = table[table.trial_id == int(run.rpartition("-")[2])]
        losses = {row["epoch"]: row["loss"] for row in rows if "loss" in row}
        assert losses == pytest.approx(dict(zip(reports.epoch, reports.loss, strict=True)))
    results = [run for run, values in summary.items() if "result" in values]
    assert [int(run.rpartition("-")[2]) for run in results] == [best_trial(table)]


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_named_with_its_extra(name, monkeypatch):
    import importlib

    module = importlib.import_module(f"syne_hypersched.integrations.{name}")
    monkeypatch.setitem(sys.modules, name, None)
    (logger,) = [
        value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__
    ]
    with pytest.raises(ModuleNotFoundError, match=rf"pip install \"syne-hypersched\[{name}\]\""):
        logger(*(["x"] if name != "tensorboard" else []))


def test_arguments_are_checked():
    pytest.importorskip("wandb")
    from syne_hypersched.integrations.wandb import WandbLogger

    with pytest.raises(ValueError, match="mode must be"):
        WandbLogger("digits", mode="later")
    with pytest.raises(ValueError, match="project must be"):
        WandbLogger("")
    assert os.environ.get("WANDB_MODE") is None
