from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from syne_hypersched.experiments import Event, Run, Violation
from syne_hypersched.experiments.verify import main, verdict


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
    assert main([str(path)]) == 1
    printed = capsys.readouterr().out
    assert "FAIL  no resource level is missing" in printed
    assert "> A script that is ended between a checkpoint and its report" in printed
    assert "docs/checkpoints.md" in printed


def test_what_cannot_be_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nothing")]) == 2
    assert "is not the folder of an experiment" in capsys.readouterr().err


def test_command_line(simulate: Callable[..., Path]) -> None:
    command = [sys.executable, "-m", "syne_hypersched.experiments.verify", str(simulate())]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.endswith("all rules hold\n")


def test_of_many_cases_some_are_printed_and_the_others_counted() -> None:
    many = [Violation("owners", 0, f"case {level}") for level in range(223)]
    lines = verdict(Run("loss", True, "epoch"), many).splitlines()
    assert sum("  case " in line for line in lines) == 10
    assert "          ... and 213 more" in lines
    assert lines[-1] == "223 violations"
    assert not any("... and" in line for line in verdict(Run("loss", True, "epoch"), many[:10]).splitlines())
