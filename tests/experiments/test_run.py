from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from syne_hypersched.experiments import (
    Report,
    Run,
    add_live_view,
    check_devices,
    check_reports,
    check_run,
    draw_run,
    format_trials,
    holdings,
    launch_costs_s,
    load_run,
    plot_run,
    run_metadata,
    trial_table,
)


def test_load_run_reads_what_tuner_and_backend_wrote(simulate: Callable[..., Path]) -> None:
    run = load_run(simulate(num_devices=3, deadline_s=20.0))
    assert (run.metric, run.do_minimize, run.time_attr) == ("accuracy", False, "epoch")
    assert run.devices == ("cpu0", "cpu1", "cpu2")
    assert run.deadline_s == 20.0
    first = run.reports[0]
    assert (first.resource, first.launch, first.num_devices, first.admission_open) == (1, 0, 1, True)
    assert type(first.launch) is int
    assert first.signal_to_report_s == pytest.approx(first.time_s)
    # A cell without a value is None, not NaN.
    assert any(report.signal_to_report_s is None for report in run.reports)
    assert run.configs is not None
    assert run.configs[0] == {"learning_rate": 0.1}
    assert run.admission_closed_s == next(report.time_s for report in run.reports if not report.admission_open)


@pytest.mark.parametrize("damaged", ["soon", [], {}])
def test_a_deadline_that_is_no_number_is_none(simulate: Callable[..., Path], damaged: object) -> None:
    path = simulate(num_devices=3, deadline_s=20.0)
    lines = [json.loads(line) for line in (path / "events.jsonl").read_text().splitlines()]
    lines = [line | {"deadline_s": damaged} if "deadline_s" in line else line for line in lines]
    (path / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert load_run(path).deadline_s is None


def test_run_of_a_stock_backend_has_no_events(simulate: Callable[..., Path]) -> None:
    path = simulate()
    (path / "events.jsonl").unlink()
    table = pd.read_csv(path / "results.csv.zip")
    table = table[[name for name in table if name not in ("st_num_devices", "st_launch", "st_admission_open")]]
    table.to_csv(path / "results.csv.zip", index=False)
    run = load_run(path)
    assert (run.events, run.devices, run.deadline_s, run.admission_closed_s) == ((), (), None, None)
    assert {(report.num_devices, report.launch) for report in run.reports} == {(None, None)}


def test_run_that_has_not_reported_yet(simulate: Callable[..., Path]) -> None:
    path = simulate()
    (path / "results.csv.zip").unlink()
    run = load_run(path)
    assert run.reports == ()
    assert run.incumbent is None


def test_nan_is_kept_and_never_the_incumbent(simulate: Callable[..., Path]) -> None:
    path = simulate()
    table = pd.read_csv(path / "results.csv.zip")
    table.loc[0, "accuracy"] = float("nan")
    table.loc[1, "accuracy"] = float("inf")
    table.to_csv(path / "results.csv.zip", index=False)
    run = load_run(path)
    assert math.isnan(run.reports[0].value)
    assert run.incumbent is not None
    assert run.incumbent.value == max(report.value for report in run.reports[2:])


@pytest.mark.parametrize(("do_minimize", "time_s"), [(True, 2.0), (False, 1.0)])
def test_incumbent_is_the_earlier_of_equal_reports(do_minimize: bool, time_s: float) -> None:
    values = (0.7, 0.2, 0.7, 0.2)
    reports = tuple(Report(0, float(index + 1), index + 1, value) for index, value in enumerate(values))
    best = Run("loss", do_minimize, "epoch", reports).incumbent
    assert best is not None
    assert best.time_s == time_s


def test_folder_without_metadata_is_no_experiment(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not the folder of an experiment"):
        load_run(tmp_path)


@pytest.mark.parametrize(("name", "value"), [("metric_mode", 3), ("metric_mode", []), ("metric_names", [1])])
def test_metadata_of_another_kind_are_a_clear_error(simulate: Callable[..., Path], name: str, value: object) -> None:
    path = simulate()
    metadata = json.loads((path / "metadata.json").read_text())
    (path / "metadata.json").write_text(json.dumps(metadata | {name: value}))
    with pytest.raises(ValueError, match="must be a JSON object with metric_names and metric_mode, but is not"):
        load_run(path)


def test_time_attr_is_found_or_asked_for_when_the_scheduler_does_not_say(simulate: Callable[..., Path]) -> None:
    path = simulate()
    (path / "metadata.json").write_text(json.dumps({"metric_names": ["accuracy"], "metric_mode": "max"}))
    assert load_run(path).time_attr == "epoch"
    assert load_run(path).reports == load_run(path, time_attr="epoch").reports
    with pytest.raises(ValueError, match=r"the script reports epoch, .*; the resource level is step"):
        load_run(path, time_attr="step")
    table = pd.read_csv(path / "results.csv.zip").rename(columns={"epoch": "rounds"})
    table.to_csv(path / "results.csv.zip", index=False)
    with pytest.raises(ValueError, match=r"time_attr must be given, .*, and the script reports .*rounds"):
        load_run(path)
    (path / "results.csv.zip").unlink()
    with pytest.raises(ValueError, match=r"time_attr must be given, .*, and no trial has reported yet"):
        load_run(path)


@pytest.mark.parametrize("as_text", [True, False])
def test_a_configuration_has_the_names_of_the_space(simulate: Callable[..., Path], as_text: bool) -> None:
    """A script may report ``config_x``, which looks like a part of the configuration in the table of results."""
    path = simulate()
    table = pd.read_csv(path / "results.csv.zip")
    table["config_boo"] = 77
    table.to_csv(path / "results.csv.zip", index=False)
    metadata = json.loads((path / "metadata.json").read_text())
    configs = load_run(path).configs
    assert configs is not None
    assert set(configs[0]) == {"learning_rate", "boo"}  # nobody says what the space is
    space = {"learning_rate": {}, "epochs": 9}
    metadata["config_space"] = json.dumps(space) if as_text else space
    (path / "metadata.json").write_text(json.dumps(metadata))
    configs = load_run(path).configs
    assert configs is not None
    assert configs[0] == {"learning_rate": 0.1}


@pytest.mark.parametrize("value", ["my-experiment", Path("my-experiment"), None, 5, []])
@pytest.mark.parametrize(
    "function", [check_run, draw_run, lambda run: plot_run(run, "run.png"), run_metadata, trial_table]
)
def test_the_name_of_a_run_is_no_run(function: Callable[..., object], value: object) -> None:
    with pytest.raises(TypeError, match=r'^run must be what load_run returns, as in load_run\("NAME"\), but got '):
        function(value)


@pytest.mark.parametrize("value", ["my-experiment", None, 5, ["my-experiment"]])
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda events: check_devices(events, ["cpu0"]), "events"),
        (holdings, "events"),
        (check_reports, "reports"),
        (launch_costs_s, "reports"),
        (lambda trials: format_trials(trials, "loss", "epoch"), "trials"),
    ],
)
def test_the_name_of_a_run_is_no_part_of_it(function: Callable[..., object], name: str, value: object) -> None:
    with pytest.raises(TypeError, match=rf"^(each of )?{name} must be "):
        function(value)


def test_a_view_is_added_to_a_tuner() -> None:
    with pytest.raises(TypeError, match=r"^tuner must be a syne_tune.Tuner, but got 'my-experiment'"):
        add_live_view("my-experiment")  # type: ignore[arg-type]
