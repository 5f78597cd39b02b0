"""Configurations of trials that have not reported, and reports that the results lack."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from syne_hypersched.experiments import Event, load_run
from syne_hypersched.experiments._unreported import lost_reports, other_configs
from syne_hypersched.experiments.verify import main as verify


def write_config(path: Path, trial_id: int, text: str) -> None:
    (path / str(trial_id)).mkdir(exist_ok=True)
    (path / str(trial_id) / "config.json").write_text(text)


def judged(what: str, trial_id: int | None) -> Event:
    return Event(1.0, "decision", trial_id, (), 0, "why", {"what": what})


def test_configurations_are_those_of_the_folders(tmp_path: Path) -> None:
    write_config(tmp_path, 0, json.dumps({"lr": 0.1}))
    write_config(tmp_path, 1, json.dumps({"lr": 0.2, "st_extra": 1}))
    write_config(tmp_path, 2, "[1]")
    write_config(tmp_path, 3, "{")
    events = [Event(0.0, "start", trial_id) for trial_id in range(5)]
    assert other_configs(tmp_path, events, {0: {}}, ["lr"]) == {1: {"lr": 0.2}}
    assert other_configs(tmp_path, events, {0: {}}, []) == {1: {"lr": 0.2, "st_extra": 1}}


def test_a_trial_that_has_failed_before_its_first_report_has_a_configuration(simulate: Callable[..., Path]) -> None:
    path = simulate()
    with open(path / "events.jsonl", "a") as file:
        told = {"time_s": 1e3, "trial_id": 99, "num_devices": 0, "devices": [], "launch": None, "reason": ""}
        print(json.dumps(told | {"event": "fail"}), file=file)
    write_config(path, 99, json.dumps({"learning_rate": 0.25}))
    configs = load_run(path).configs
    assert configs is not None
    assert configs[99] == {"learning_rate": 0.25}


def test_a_trial_that_was_judged_has_reported() -> None:
    events = [judged("pause", 0), judged("stop", 1), judged("resize", 2), judged("close", None)]
    assert lost_reports(events, {0, 1}, Path("run")) == ""
    assert lost_reports(events, {0}, Path("run")).startswith("run lacks reports at which trial 1 was paused or stopped")
    many = lost_reports([judged("stop", trial_id) for trial_id in range(12)], (), Path("run"))
    assert "trials 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more were paused or stopped" in many


@pytest.mark.parametrize("is_over", [True, False])
def test_a_run_that_is_over_and_whose_results_end_early_is_not_said_to_be_whole(
    simulate: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_over: bool
) -> None:
    """The table of a run that goes on is some seconds old if the tuner keeps no journal."""
    path = simulate()
    run_state = "finished" if is_over else "running"
    monkeypatch.setattr("syne_hypersched.experiments._run.find_run_state", lambda folder, events: run_state)
    with open(path / "events.jsonl", "a") as file:
        told = {"time_s": 1e3, "trial_id": 99, "num_devices": 1, "devices": ["cpu0"], "launch": 0, "reason": "rank 3"}
        print(json.dumps(told | {"event": "decision", "what": "stop"}), file=file)
    assert verify([str(path)]) == (2 if is_over else 0)
    assert ("at which trial 99 was paused or stopped" in capsys.readouterr().out) == is_over
