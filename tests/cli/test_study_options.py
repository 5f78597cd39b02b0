from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from syne_hypersched.cli._app import app
from syne_hypersched.cli._study_options import StudyOptions, study_of


def study(*arguments: str):
    _, bound, _ = app.parse_args(["compare", *arguments], exit_on_error=False, print_error=False)
    return study_of(bound.args[0] if bound.args else StudyOptions())


def test_the_defaults_are_those_of_the_help():
    default = study()
    (scenario,) = default.scenarios
    assert (scenario.benchmark, scenario.num_devices, scenario.scaling) == ("digits", 8, "resnet50")
    assert str(scenario.launch_cost) == "1%"
    assert [str(deadline) for deadline in default.deadlines] == ["0.5x", "1x", "2x"]
    assert default.seeds == tuple(range(10))
    assert default.reference == "asha"
    assert set(scenario.schedulers) >= {"hypersched", "asha", "pasha", "asha-promotion", "random"}


def test_lists_and_combinations():
    many = study(
        *("--num-devices", "8,32", "--scaling", "babi", "1:1,2:1.9", "--launch-cost", "0%,5s", "--seeds", "3,1,2"),
        *("--deadline", "30m, 1x", "--schedulers", "asha+kde,pasha", "--reference", "pasha"),
    )
    assert len(many.scenarios) == 8
    assert many.seeds == (3, 1, 2)
    assert [str(deadline) for deadline in many.deadlines] == ["1800s", "1x"]
    assert {scenario.scaling for scenario in many.scenarios} == {"babi", "1:1,2:1.9"}


def test_every_option_is_part_of_the_study(tmp_path):
    file = tmp_path / "curves.csv"
    file.write_text("lr,epoch,loss,s\n")
    options = StudyOptions(
        table=file, metric="loss", mode="max", time_attr="step", elapsed_attr="s", configuration="lr, width",
        deadline="60", max_trials=7, schedulers="asha,pasha", reference="pasha", seeds="4",
    )  # fmt: skip
    made = study_of(options)
    assert made.scenarios[0].benchmark == "table"
    assert (made.table.path, made.table.metric, made.table.do_minimize) == (str(file), "loss", False)
    assert (made.table.time_attr, made.table.elapsed_time_attr) == ("step", "s")
    assert made.table.configuration == ("lr", "width")
    assert made.table.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (made.max_num_trials, made.reference, made.seeds) == (7, "pasha", (0, 1, 2, 3))
    assert [str(deadline) for deadline in made.deadlines] == ["60s"]


@pytest.mark.parametrize(("seeds", "numbers"), [("3", (0, 1, 2)), ("3,", (3,)), ("5, 2", (5, 2))])
def test_a_number_of_seeds_or_a_list(seeds, numbers):
    assert study_of(StudyOptions(seeds=seeds)).seeds == numbers


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedulers": " , "}, "a list must not be empty, but got ' , '"),
        ({"num_devices": "8,many"}, "--num-devices must be one or more integers, but got '8,many'"),
        ({"seeds": "-1"}, "--seeds must be at least 1, but got '-1'"),
        ({"seeds": "a"}, "--seeds must be one or more integers, but got 'a'"),
        ({"mode": "min"}, "--mode needs --table FILE, which is missing"),
        ({"configuration": "lr", "metric": "x"}, "--metric and --configuration need --table FILE, which is missing"),
        ({"where": ("fold=1",)}, "--where needs --table FILE, which is missing"),
        (
            {"table": Path("x"), "metric": "a", "mode": "min", "elapsed_attr": "s", "epoch_time_attr": "t"},
            "--elapsed-attr and --epoch-time-attr exclude each other, but got 's' and 't'",
        ),
        (
            {"table": Path("x"), "metric": "a", "mode": "min", "config_id": "i"},
            "--config-id needs --configs FILE, which is missing",
        ),
        ({"table": Path("x"), "mode": "min"}, "--table needs --metric COLUMN and --mode min or max"),
        ({"table": Path("x"), "metric": "loss"}, "--table needs --metric COLUMN and --mode min or max"),
        (
            {"table": Path("x"), "metric": "loss", "mode": "min", "benchmark": "digits"},
            "--table is a benchmark itself, but got --benchmark 'digits', too",
        ),
        ({"option": ("lr",), "backend": "local"}, "--option must be NAME=VALUE, but got 'lr'"),
        ({"backend": "cloud"}, "backend"),
    ],
)
def test_what_makes_no_study(options, message):
    with pytest.raises(ValueError) as caught:
        study_of(StudyOptions(**options))
    assert message in str(caught.value)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="--table must be an existing file, but got"):
        study_of(StudyOptions(table=tmp_path, metric="loss", mode="min"))
