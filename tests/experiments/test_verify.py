from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from syne_hypersched.cli import main as run_command
from syne_hypersched.experiments import Event, Run, Violation, load_run
from syne_hypersched.experiments.verify import main, verdict
from tests.forked import ForkedPython


def test_sound_run(simulate: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = simulate(deadline_s=20.0)
    assert main([str(path)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{path}: 2 devices, ")
    assert printed.count("  ok    ") == 7
    assert "the last process was gone" in printed
    assert printed.endswith("all rules hold\n")


def test_verify_says_where_a_run_is_broken(simulate: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = simulate()
    table = pd.read_csv(path / "results.csv.zip")
    pd.concat([table, table.iloc[:1]]).to_csv(path / "results.csv.zip", index=False)
    with (path / "events.jsonl").open("a") as file:
        for trial_id in (90, 91):
            line = {"time_s": 99.0, "event": "launch", "trial_id": trial_id, "devices": ["cpu0"], "launch": 0}
            file.write(json.dumps(line) + "\n")
    assert main([str(path)]) == 1
    printed = capsys.readouterr().out
    assert (
        "FAIL  no device has two owners\n          at 99.000 s trial 91 was given cpu0, which trial 90 held" in printed
    )
    assert f"trial {table.trial_id[0]} has reported level 1 2 times" in printed
    assert "devices are still held by trials 90, 91" in printed
    assert printed.endswith("2 violations\n")


def test_one_of_each_is_not_several() -> None:
    events = (
        Event(0.0, "setup", details={"devices": ["cpu0"]}),
        Event(0.0, "launch", 0, ("cpu0",), 0),
        Event(0.5, "exit", 0, ("cpu0",), 0, "resize"),
        Event(0.6, "launch", 0, ("cpu0",), 1, "resize"),
    )
    shown = verdict(Run("loss", True, "epoch", events=events), [Violation("devices", 0, "it has two owners")])
    assert "1 trial, 2 launches, 1 resize, 0 reports" in shown.splitlines()[0]
    assert "devices are still held by trial 0: the run goes on" in shown
    assert shown.endswith("\n1 violation")


def test_a_missing_report_comes_with_what_the_script_can_do(
    simulate: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = simulate()
    table = pd.read_csv(path / "results.csv.zip")
    longest = table[table.trial_id == table.trial_id.value_counts().index[0]]
    table.drop(longest.index[1]).to_csv(path / "results.csv.zip", index=False)
    assert main([str(path), "--step", "1"]) == 1
    printed = capsys.readouterr().out
    assert "FAIL  no resource level is missing" in printed
    assert "> A script that is ended between a checkpoint and its report" in printed
    assert "docs/checkpoints.md" in printed


@pytest.mark.parametrize("levels", [lambda epoch: epoch**2, lambda epoch: epoch / 2])
def test_levels_that_are_not_one_apart_are_no_fault(
    simulate: Callable[..., Path], capsys: pytest.CaptureFixture[str], levels: Callable[[float], float]
) -> None:
    path = simulate()
    table = pd.read_csv(path / "results.csv.zip")
    table["epoch"] = levels(table.epoch)
    table.to_csv(path / "results.csv.zip", index=False)
    for words in ([str(path)], [str(path), "--step", "none"]):
        assert (main(words), run_command(["verify", *words])) == (0, 0)
    assert (main([str(path), "--step=1"]), run_command(["verify", str(path), "--step", "1"])) == (1, 1)
    assert "levels being 1 apart" in capsys.readouterr().out
    assert run_command(["verify", str(path), "--step=0"]) == 2
    assert "step must be positive, but got 0" in capsys.readouterr().err


def test_the_log_says_whether_a_level_is_missing(
    simulate: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = simulate()
    trial_id = next(one.trial_id for one in load_run(path).reports if one.launch == 1)
    of_trial = [report for report in load_run(path).reports if report.trial_id == trial_id]
    first = next(report for report in of_trial if report.launch == 1)
    table = pd.read_csv(path / "results.csv.zip")
    table = table[(table.trial_id != trial_id) | (table.epoch != first.resource)]
    table.to_csv(path / "results.csv.zip", index=False)
    (path / str(trial_id)).mkdir()
    levels = [report.resource for report in of_trial if report is not first]
    for level, metric, code in ((first.resource, "accuracy", 1), (first.resource, "loss", 0)):
        lines = (f'[tune-metric]: {{"epoch": {each}, "accuracy": 0.5}}' for each in levels)
        odd = f'[tune-metric]: {{"epoch": {level}, "{metric}": 0.5}}'
        (path / str(trial_id) / "std.out").write_text("\n".join([*lines, odd, ""]))
        assert main([str(path)]) == code
        assert (f"although its log has level {level:g}" in capsys.readouterr().out) == bool(code)


def test_what_cannot_be_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nothing")]) == 2
    assert "is not the folder of an experiment" in capsys.readouterr().err


def test_command_line(simulate: Callable[..., Path], tmp_path: Path, forked: ForkedPython) -> None:
    run = forked.run(["-m", "syne_hypersched.experiments.verify", simulate()], tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.endswith("all rules hold\n")


def test_of_many_cases_some_are_printed_and_the_others_counted() -> None:
    many = [Violation("owners", 0, f"case {level}") for level in range(223)]
    lines = verdict(Run("loss", True, "epoch"), many).splitlines()
    assert sum("  case " in line for line in lines) == 10
    assert "          ... and 213 more" in lines
    assert lines[-1] == "223 violations"
    assert not any("... and" in line for line in verdict(Run("loss", True, "epoch"), many[:10]).splitlines())
