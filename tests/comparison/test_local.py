"""Comparisons in real time, with real processes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from syne_tune.config_space import uniform
from syne_tune.experiments import load_experiment

from syne_hypersched.comparison import scripts
from syne_hypersched.comparison.presets import make_study
from syne_hypersched.comparison.report import write_report
from syne_hypersched.comparison.runner import run_study
from syne_hypersched.comparison.scripts import Option, TrainingScript

SCRIPT = """\
import argparse, json, os, time
from pathlib import Path
from tests.reporter import Reporter

parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--flavour")
parser.add_argument("--epochs", type=int)
parser.add_argument("--st_checkpoint_dir", type=Path)
args = parser.parse_args()
state = args.st_checkpoint_dir / "epoch.json"
done = json.loads(state.read_text()) if state.exists() else 0
report = Reporter()
for epoch in range(done + 1, args.epochs + 1):
    time.sleep(0.05)
    args.st_checkpoint_dir.mkdir(parents=True, exist_ok=True)
    state.write_text(json.dumps(epoch))
    if int(os.environ.get("RANK", 0)) == 0:
        report(epoch=epoch, loss=args.x + (1 / epoch if args.flavour == "sweet" else 2))
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingScript:
    path = tmp_path / "sweet script.py"
    path.write_text(SCRIPT)
    script = TrainingScript(
        "sleeper",
        "sleeps",
        path,
        {"x": uniform(0, 1)},
        "loss",
        True,
        8,
        options=(Option("flavour", "flavour", "a flavour", default="sour", choices=("sweet", "sour")),),
    )
    monkeypatch.setattr(scripts, "_SCRIPTS", (script,))
    return script


@pytest.mark.slow
def test_real_processes_under_the_same_schedulers(script, tmp_path, monkeypatch):
    monkeypatch.delenv("SYNETUNE_FOLDER", raising=False)
    study = make_study(
        backend="local",
        benchmarks=("sleeper",),
        schedulers=("hypersched", "asha"),
        deadlines=("2", "4"),
        num_devices=(2,),
        script_options=(("flavour", "sweet"),),
    )
    results = run_study(study, tmp_path / "out")
    assert [run.name for run in results.runs] == ["hypersched-2s-seed0", "hypersched-4s-seed0", "asha-seed0"]
    write_report(results, tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "results.csv")
    assert len(table) == 4
    assert table.value.between(0, 2).all()
    assert table.regret.isna().all()
    assert (table.num_trials >= 2).all()
    assert table.utilisation.between(0, 1).all()
    for run in results.runs:
        experiment = load_experiment(run.name, local_path=str(tmp_path / "out" / "runs" / "sleeper-2dev"))
        assert experiment.results.config_flavour.eq("sweet").all()
        assert experiment.results.st_tuner_time.max() <= float(str(run.deadlines[-1]).removesuffix("s")) + 0.5
    assert "SYNETUNE_FOLDER" not in os.environ
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert settings["study"]["script_options"] == [["flavour", "sweet"]]

    again = run_study(study, tmp_path / "out")
    assert again.outcomes == results.outcomes


def test_real_time_needs_a_folder_and_seconds(script):
    study = make_study(backend="local", benchmarks=("sleeper",), deadlines=("1x",), schedulers=("asha",))
    with pytest.raises(ValueError, match="1x must be given in seconds"):
        run_study(study)


@pytest.mark.slow
def test_the_digits_network_is_trained(tmp_path):
    pytest.importorskip("torch")
    study = make_study(backend="local", schedulers=("hypersched",), deadlines=("30",), num_devices=(2,), max_t=9)
    (outcome,) = run_study(study, tmp_path).outcomes
    assert outcome.readings[0].num_trials >= 2
    assert outcome.readings[0].value > 0.3
