from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from syne_hypersched.experiments import load_run, trial_table
from syne_hypersched.experiments._run import Report, Run
from syne_hypersched.experiments.export import export_csv, export_optuna, export_tensorboard


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_tables_have_all_of_the_run(simulate, tmp_path):
    run = load_run(simulate(num_devices=3))
    written = export_csv(run, tmp_path / "a" / "b")
    trials = read(tmp_path / "a" / "b" / "trials.csv")
    assert [int(row["trial_id"]) for row in trials] == [trial.trial_id for trial in trial_table(run)]
    assert float(trials[0]["best_accuracy"]) == trial_table(run)[0].best
    assert float(trials[0]["config_learning_rate"]) == trial_table(run)[0].config["learning_rate"]
    assert len(read(tmp_path / "a" / "b" / "reports.csv")) == len(run.reports)
    assert len(read(tmp_path / "a" / "b" / "events.csv")) == len(run.events)
    assert [one.what for one in written][:2] == [f"{len(trials)} trials", f"{len(run.reports)} reports"]


def test_a_text_is_no_formula_of_a_spreadsheet(tmp_path):
    reports = (Report(0, 1.0, 1.0, 0.5),)
    export_csv(Run("loss", True, "epoch", reports, configs={0: {"act": '=HYPERLINK("x")', "lr": -0.5}}), tmp_path)
    row = read(tmp_path / "trials.csv")[0]
    assert row["config_act"] == '\'=HYPERLINK("x")'
    assert float(row["config_lr"]) == -0.5


def test_nul_is_spelt_out(tmp_path):
    """Python 3.10 writes no NUL character, and spreadsheets end there."""
    export_csv(Run("loss", True, "epoch", (Report(0, 1.0, 1.0, 0.5),), configs={0: {"act": "re\0lu"}}), tmp_path)
    assert read(tmp_path / "trials.csv")[0]["config_act"] == r"re\x00lu"


def test_a_run_of_a_stock_backend_has_no_events(tmp_path):
    export_csv(Run("loss", True, "epoch", (Report(0, 1.0, 1.0, 0.5),)), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["reports.csv", "trials.csv"]


def test_a_storage_is_an_address_or_a_log(simulate):
    with pytest.raises(ValueError, match=r"must be an address such as 'sqlite:///study\.db', .*but got 'study\.db'"):
        export_optuna(load_run(simulate()), "study.db")


@pytest.mark.parametrize("name", ["study.log", "study.db"])
def test_optuna_has_the_trials(simulate, tmp_path, name):
    optuna = pytest.importorskip("optuna")
    run = load_run(simulate(num_devices=3))
    storage = str(tmp_path / name) if name.endswith(".log") else f"sqlite:///{tmp_path / name}"
    export_optuna(run, storage)
    where = storage
    if name.endswith(".log"):
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        where = JournalStorage(JournalFileBackend(storage))
    study = optuna.load_study(study_name=run.path.name, storage=where)
    assert study.direction.name == "MAXIMIZE"
    known = {trial.trial_id: trial for trial in trial_table(run)}
    assert len(study.trials) == len(known)
    for made, trial_id in zip(study.trials, sorted(known), strict=True):
        assert made.params == known[trial_id].config
        assert made.user_attrs["status"] == known[trial_id].status
        levels = {round(one.resource): one.value for one in run.reports if one.trial_id == trial_id}
        assert made.intermediate_values == levels
        assert made.datetime_start <= made.datetime_complete
    assert {made.state.name for made in study.trials} <= {"COMPLETE", "PRUNED", "FAIL"}
    values = [made.value for made in study.trials if made.value is not None]
    assert max(values) <= run.incumbent.value
    with pytest.raises(ValueError, match="must have no study"):
        export_optuna(run, storage)


def test_optuna_takes_texts_truth_values_and_what_is_not_finite(tmp_path):
    optuna = pytest.importorskip("optuna")
    configs = {
        0: {"act": "relu", "flag": True, "lr": 1e-4, "odd": math.inf, "n": 3, "mixed": 1},
        1: {"act": "gelu", "flag": False, "lr": 1e-1, "odd": 1.0, "n": 5, "mixed": "x"},
    }
    reports = (Report(0, 1.0, 1.0, 0.5), Report(0, 2.0, 2.0, math.nan), Report(1, 1.0, 1.0, math.nan))
    run = Run("loss", True, "epoch", reports, configs=configs, path=tmp_path / "mine")
    export_optuna(run, f"sqlite:///{tmp_path / 'x.db'}")
    study = optuna.load_study(study_name="mine", storage=f"sqlite:///{tmp_path / 'x.db'}")
    first, second = study.trials
    assert first.params == {"act": "relu", "flag": "True", "lr": 1e-4, "odd": "inf", "n": 3, "mixed": "1"}
    assert first.distributions["lr"].log
    assert (second.state.name, second.value) == ("FAIL", None)


def test_tensorboard_has_the_curves(simulate, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = load_run(simulate(num_devices=3))
    export_tensorboard(run, tmp_path)
    for trial_id in {report.trial_id for report in run.reports}:
        accumulator = EventAccumulator(str(tmp_path / f"trial-{trial_id}"))
        accumulator.Reload()
        found = [(scalar.step, scalar.value) for scalar in accumulator.Scalars("accuracy")]
        wanted = [(report.resource, report.value) for report in run.reports if report.trial_id == trial_id]
        plugin = accumulator.SummaryMetadata("_hparams_/session_start_info").plugin_data
        assert b"learning_rate" in plugin.content
        assert found == [(step, pytest.approx(value)) for step, value in wanted]


@pytest.mark.parametrize(
    ("metric", "time_attr"), [("launch", "status"), ("devices", "time_s"), ("decision", "launches")]
)
def test_a_metric_and_a_level_replace_no_column(tmp_path, metric, time_attr):
    run = Run(metric, True, time_attr, (Report(3, 1.0, 2.0, 0.5, 1, 4, decision="PAUSE"),), path=tmp_path / "mine")
    export_csv(run, tmp_path)
    (row,) = read(tmp_path / "reports.csv")
    assert (row["trial_id"], row["launch"], row["decision"], row["time_s"]) == ("3", "4", "PAUSE", "1.0")
    assert {row.get(f"reported_{metric}", row.get(metric)), row.get(f"reported_{time_attr}", row.get(time_attr))} == {
        "0.5", "2.0"
    }  # fmt: skip
    (row,) = read(tmp_path / "trials.csv")
    assert (row["status"], row[f"best_{metric}"]) == ("paused", "0.5")
    assert row.get(f"reported_{time_attr}", row.get(time_attr)) == "2.0"
    pytest.importorskip("optuna")
    pytest.importorskip("tensorboard")
    import optuna
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    export_optuna(run, f"sqlite:///{tmp_path / 'x.db'}")
    (trial,) = optuna.load_study(study_name="mine", storage=f"sqlite:///{tmp_path / 'x.db'}").trials
    attrs = trial.user_attrs
    assert attrs["status"] == "paused"
    assert attrs[f"reported_{time_attr}" if time_attr in ("status", "launches") else time_attr] == 2.0
    export_tensorboard(run, tmp_path / "board")
    board = EventAccumulator(str(tmp_path / "board" / "trial-3")).Reload()
    tag = "reported_devices" if metric == "devices" else metric
    assert [scalar.value for scalar in board.Scalars(tag)] == [0.5]
    assert [scalar.value for scalar in board.Scalars("devices")] == [1.0]
