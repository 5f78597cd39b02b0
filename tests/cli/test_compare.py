from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path

import pandas as pd
import pytest

from syne_hypersched.cli import main
from syne_hypersched.cli._app import app
from syne_hypersched.cli._compare import _describe_duration
from syne_hypersched.cli._study_options import StudyOptions, study_of
from syne_hypersched.comparison.storage import default_output

LAUNCH_HPO = Path(__file__).resolve().parents[2] / "benchmarking" / "launch_hpo.py"


def run(*arguments: object) -> int:
    return main(["compare", *map(str, arguments)])


def test_the_help_shows_examples_that_can_be_parsed(capsys):
    assert run("--help") == 0
    text = capsys.readouterr().out
    for group in ("What is compared", "Deadline and machine", "Real training on this machine", "Execution and output"):
        assert group in text
    commands = re.findall(r"^ +hypersched ((?:.*\\\n)*.*)", text, flags=re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        app.parse_args(command.replace("\\\n", " "), exit_on_error=False, print_error=False)


def test_the_default_folder_belongs_to_the_settings():
    assert default_output(study_of(StudyOptions())) == default_output(study_of(StudyOptions()))
    assert default_output(study_of(StudyOptions())) != default_output(study_of(StudyOptions(seeds="3")))
    assert default_output(study_of(StudyOptions())).parent.name == "comparison-results"


def test_results_of_other_source_are_left_where_they_are(table_path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--table", table_path, "--metric", "error", "--mode", "min", "--elapsed-attr", "seconds"]
    arguments += ["--schedulers", "asha", "--deadline", "10", "--seeds", "1", "--jobs", "1"]
    assert run(*arguments) == 0
    (folder,) = (tmp_path / "comparison-results").iterdir()
    before = (folder / "results.csv").read_bytes()
    assert "other source code" not in capsys.readouterr().err

    monkeypatch.setattr("syne_hypersched.comparison.storage.source_digest", lambda: "of tomorrow")
    for _ in range(2):  # the second time it goes on in the new folder
        assert run(*arguments) == 0
        (line,) = [line for line in capsys.readouterr().err.splitlines() if "other source code" in line]
        new = f"comparison-results/{folder.name}-2"
        assert line.startswith(f"comparison-results/{folder.name} has results of other source code")
        assert line.endswith(f"the new results are in {new}")
        assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, f"{folder.name}-2"]
    assert json.loads((tmp_path / new / "settings.json").read_text())["source"] == "of tomorrow"
    assert (folder / "results.csv").read_bytes() == before
    assert run(*arguments, "--output", folder) == 2
    assert "choose another --output, or remove the folder" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error(forked):
    reader, writer = os.pipe()
    os.close(reader)  # before anything is written
    with open(writer, "wb") as stdout, tempfile.TemporaryFile() as errors:
        listing = forked.start(["-m", "syne_hypersched.cli", "compare", "--list"], stdout=stdout, stderr=errors)
        assert listing.wait(280) == 0
        errors.seek(0)
        assert errors.read() == b""


def write_table(path, lines, header="id,lr,epoch,seconds,error"):
    path.write_text("\n".join([header, *lines]) + "\n")
    return ["--table", path, "--metric", "error", "--mode", "min", "--elapsed-attr", "seconds"]


def test_a_table_shows_the_space_and_an_id_is_warned_of(tmp_path, capsys):
    lines = [f"{i},{0.1 / (i + 1)},{e},{e},{i / e}" for i in range(10) for e in (1, 2, 3)]
    arguments = write_table(tmp_path / "curves.csv", lines)
    few = ["--schedulers", "asha", "--deadline", "10", "--seeds", "1", "--jobs", "1", "--output"]
    assert run(*arguments, *few, tmp_path / "all") == 0
    said = capsys.readouterr()
    assert "10 configurations, 3 levels of epoch; the search space:" in said.out
    assert "\n  id  " in said.out
    assert "\n  lr  uniform(0.01, 0.1)" in said.out
    assert "warning: the column 'id' has a different value in each of the 10" in said.err
    assert "--configuration lr" in said.err
    assert run(*arguments, "--configuration", "lr", *few, tmp_path / "named") == 0
    said = capsys.readouterr()
    assert ("\n  id  " in said.out, "warning" in said.err) == (False, False)


def test_a_table_without_times_is_refused(tmp_path, capsys):
    arguments = write_table(tmp_path / "curves.csv", [f"{i},{i / 8},{e},0,{i / e}" for i in range(4) for e in (1, 2)])
    assert run(*arguments, "--output", tmp_path / "out") == 2
    assert "seconds above 0 in the column 'seconds'" in capsys.readouterr().err


def test_all_names_are_listed(capsys):
    assert run("--list") == 0
    text = capsys.readouterr().out
    for name in ("hypersched", "asha-promotion", "digits-cnn", "imagenet_resnet50", "sensitivity", "kde"):
        assert name in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--schedulers", "hypershed"], "did you mean 'hypersched'"),
        (["--schedulers", "asha:grace=3"], "did you mean 'grace_period'"),
        (["--schedulers", "hypersched:policy=topjob"], "scheduler 'hypersched:policy=topjob': policy must be one of"),
        (["--benchmark", "digts"], "did you mean 'digits'"),
        (["--preset", "abltion"], "did you mean 'ablation'"),
        (["--backend", "locale"], "did you mean 'local'"),
        (["--scaling", "resnet5"], "did you mean 'resnet50'"),
        (["--deadline", "soon"], "a duration must be seconds"),
        (["--num-devices", "many"], "--num-devices must be one or more integers"),
        (["--num-devices", "0"], "--num-devices must be at least 1, but got 0"),
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--jobs", "0"], "jobs must be at least 1, but got 0"),
        (["--metric", "loss"], "--metric needs --table FILE, which is missing"),
        (["--table", "nowhere.csv", "--metric", "loss", "--mode", "min"], "must be an existing file"),
        (["--table", "nowhere.csv"], "--table needs --metric"),
        (["--reference", "pahsa"], "did you mean 'pasha'"),
        (["--model", "resnet18"], "for the backend 'local'"),
        (["--backend", "local", "--scaling", "babi"], "for the backend 'simulator'"),
        (["--backend", "local", "--benchmark", "digit-cnn"], "did you mean 'digits-cnn'"),
        (["--backend", "local", "--deadline", "1x"], "1x must be given in seconds"),
        (["--backend", "local", "--option", "model"], "--option must be NAME=VALUE"),
        (["--backend", "local", "--model", "resnet18"], "unknown option of 'digits-cnn' 'model': there are none"),
    ],
)
def test_errors_say_what_to_do_and_leave_nothing_behind(arguments, message, capsys, tmp_path):
    assert run("--output", tmp_path / "out", *arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert not (tmp_path / "out").exists()


def test_seconds_of_each_epoch_are_named_as_such(tmp_path, capsys):
    lines = [f"{lr},{epoch},{2 + epoch % 2},{lr / epoch}" for lr in (1, 2, 3, 4) for epoch in (1, 2, 3, 4)]
    arguments = write_table(tmp_path / "curves.csv", lines, header="lr,epoch,seconds,error")
    arguments += ["--schedulers", "asha", "--seeds", "1", "--jobs", "1", "--output", tmp_path / "out"]
    assert run(*arguments) == 2
    assert "Seconds of each epoch are named as such: --epoch-time-attr seconds\n" in capsys.readouterr().err
    arguments[arguments.index("--elapsed-attr")] = "--epoch-time-attr"
    assert run(*arguments) == 0
    assert "deadline 1x = 10 s" in (tmp_path / "out" / "comparison.txt").read_text()


def test_repetitions_two_files_and_a_part_of_the_rows(tmp_path, capsys):
    configs = tmp_path / "configs.CSV"
    configs.write_text("name,lr\n" + "".join(f"c{lr},{lr}\n" for lr in range(4)))
    lines = [
        f"c{lr},{fold},{epoch},{epoch},{fold + lr / epoch},{test}"
        for lr in range(4) for fold in (1, 2) for epoch in (1, 2) for test in (0, 1)
    ]  # fmt: skip
    arguments = write_table(tmp_path / "curves.csv", lines, header="name,fold,epoch,seconds,error,test")
    arguments += ["--configs", configs, "--config-id", "name", "--seed-attr", "fold", "--where", "test=0"]
    arguments += ["--schedulers", "asha", "--seeds", "2", "--jobs", "1", "--output", tmp_path / "out"]
    assert run(*arguments) == 0
    assert "4 configurations, 2 levels of epoch" in capsys.readouterr().out
    stored = json.loads((tmp_path / "out" / "settings.json").read_text())["study"]["table"]
    assert (stored["seed_attr"], stored["where"]) == ("fold", [["test", "0"]])


def test_from_a_table_to_files(table_path, tmp_path, capsys):
    arguments = ["--table", table_path, "--metric", "error", "--mode", "min", "--elapsed-attr", "seconds"]
    arguments += [
        "--schedulers",
        "hypersched,asha",
        "--deadline",
        "10,1x",
        "--seeds",
        "2",
        "--output",
        tmp_path / "out",
    ]
    assert run(*arguments, "--jobs", "1") == 0
    text = capsys.readouterr().out
    assert "gain over asha" in text
    table = pd.read_csv(tmp_path / "out" / "results.csv")
    assert len(table) == 2 * 2 * 2
    for name in ("comparison.csv", "summary.csv", "summary.txt", "timings.csv", "settings.json"):
        assert (tmp_path / "out" / name).is_file()
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert len(settings["study"]["table"]["sha256"]) == 64

    assert run(*arguments, "--jobs", "1", "--seeds", "3") == 2
    assert "seeds was [0, 1] and is [0, 1, 2]" in capsys.readouterr().err

    with table_path.open("a") as file:
        file.write("\n")
    try:
        assert run(*arguments) == 2
        assert "table.sha256 was" in capsys.readouterr().err
    finally:
        table_path.write_text(table_path.read_text().rstrip("\n") + "\n")


def test_the_command_in_the_repository_takes_the_same_arguments(table_path, tmp_path, forked):
    arguments = ["--table", table_path, "--metric", "error", "--mode", "min", "--elapsed-attr", "seconds"]
    arguments += ["--schedulers", "asha,random", "--deadline", "10", "--seeds", "1", "--jobs", "1", "--output"]
    for name, spelling in (("installed", ["-m", "syne_hypersched.cli", "compare"]), ("script", [LAUNCH_HPO])):
        ended = forked.run([*spelling, *arguments, tmp_path / name], cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        assert f"2 runs in {tmp_path / name}" in ended.stdout
    one, other = ((tmp_path / name / "results.csv").read_bytes() for name in ("installed", "script"))
    assert one == other


def test_real_training_says_at_first_how_long_it_takes(tmp_path):
    study = study_of(StudyOptions(backend="local", schedulers="hypersched,asha", deadline="60,180", seeds="2"))
    # HyperSched knows its deadline and is run to each; ASHA is run once, to the longer one.
    said = _describe_duration(study, tmp_path / "new")
    assert "6 runs, one after another" in said
    assert f"about {2 * (60 + 180 + 180) / 60:.3g} minutes in total" in said
    few = study_of(StudyOptions(backend="local", schedulers="asha", deadline="60", seeds="1"))
    assert "1 run, one after another, each until its deadline: about 60 seconds" in _describe_duration(few, tmp_path)
