"""The command as a user has it: a process, with real runs on the disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from syne_hypersched.cli import main
from syne_hypersched.cli._app import _join_negative, app

SPELLINGS = {
    "module": [sys.executable, "-m", "syne_hypersched.cli"],
    "script": [str(Path(sys.executable).with_name("hypersched"))],
}
COMMANDS = (
    "tune", "demo", "report", "watch", "explain", "replay", "export", "verify", "resume", "pool", "compare", "referee",
    "check", "completion",
)  # fmt: skip


def run(spelling, *arguments, **options):
    command = SPELLINGS[spelling]
    if not Path(command[0]).exists():
        pytest.skip(f"{command[0]} is not there: the package was installed before it had this command")
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_help_names_every_command(spelling):
    ended = run(spelling, "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("Usage: hypersched ")
    for command in COMMANDS:
        assert f"│ {command} " in ended.stdout
    assert "hypersched report" in ended.stdout
    assert "Exit codes" in ended.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_with_examples_and_exit_codes(command, capsys):
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: hypersched {command} ")
    assert "default:False" not in "".join(text.replace("│", "").split()), "a flag is off unless it is given"
    assert f"\n  hypersched {command}" in text or f"\n    hypersched {command}" in text
    assert "Exit codes: 0" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_parameter_is_explained(command):
    for argument in app[command].assemble_argument_collection(parse_docstring=True):
        if argument.show:
            assert argument.parameter.help, argument.name


#: Runs commands one after the other, and says after each what is imported that is heavy.
LISTING = """
import json, sys
from syne_hypersched.cli import main
found = []
for arguments in json.loads(sys.argv[1]):
    code = main(arguments)
    found.append([arguments, code, sorted({name.partition(".")[0] for name in sys.modules}.intersection(sys.argv[2:]))])
print(json.dumps(found), file=sys.stderr)
"""
HEAVY = {"numpy", "pandas", "scipy", "syne_tune", "torch", "matplotlib", "dill", "psutil", "pyarrow", "asyncio"}


def test_nothing_heavy_is_imported_for_a_help_or_a_wrong_argument():
    helps = [[], ["--help"], ["--version"], *([command, "--help"] for command in COMMANDS)]
    wrong = [["repot", "x"], ["compare", "--bogus"]]
    command = [sys.executable, "-c", LISTING, json.dumps(helps + wrong), *HEAVY]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=280)
    found = json.loads(ended.stderr.splitlines()[-1])
    assert found == [[each, 0, []] for each in helps] + [[each, 2, []] for each in wrong]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["repot", "x"], ['"repot"', 'Did you mean "report"?', "Try: hypersched --help"]),
        (["report"], ["RUN", "Try: hypersched report --help"]),
        (
            ["compare", "--schedulers", "asha", "pasha"],
            ["unexpected: pasha", "commas", "Try: hypersched compare --help"],
        ),
        (["report", "x", "y"], ["y", "Try: hypersched report --help"]),
        (["report", "x", "--num-trails", "3"], ["--num-trails", "Try: hypersched report --help"]),
        (["report", "x", "--num-trials", "many"], ["--num-trials", "many"]),
        (["resume", "x", "--time-passes", "never"], ["--time-passes", "always", "running"]),
        (["compare", "--jobs", "all"], ["--jobs", "all", "Try: hypersched compare --help"]),
    ],
)
def test_what_is_wrong_with_the_arguments_is_said(arguments, words, capsys):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("hypersched: ")
    for word in words:
        assert word in printed.err


@pytest.mark.parametrize("spelling", [["--deadline", "-5s"], ["--deadline=-5s"], ["--deadline", "-.5h"]])
def test_a_negative_value_is_named_and_its_rule_too(spelling, capsys):
    assert main(["demo", *spelling]) == 2
    value = spelling[-1].removeprefix("--deadline=")
    expected = f"--deadline must be a positive time such as 90s, 15m, 2h or 1h30m, but got {value!r}"
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tokens", "joined"),
    [
        (["report", "x", "--num-trials", "-3"], ["report", "x", "--num-trials=-3"]),
        (["report", "x", "-3"], ["report", "x", "-3"]),
        (["tune", "--a=b", "-3", "--c", "-d", "-3"], ["tune", "--a=b", "-3", "--c", "-d", "-3"]),
        (["tune", "--a", "1", "--", "--b", "-3"], ["tune", "--a", "1", "--", "--b", "-3"]),
    ],
)
def test_only_a_number_behind_an_option_is_its_value(tokens, joined):
    assert _join_negative(tokens) == joined


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip()[0].isdigit()


@pytest.mark.parametrize("spelling", [pytest.param("module", marks=pytest.mark.slow), "script"])
def test_a_run_is_reported_and_verified_by_name_and_by_path(spelling, make_run, tmp_path, forked):
    path = make_run("small-run")

    def run_forked(*arguments, cwd):
        return forked.run(["-m", "syne_hypersched.cli", *arguments], cwd=cwd)

    # One interpreter of its own is enough: each imports pandas.
    for name, run_it in (("small-run", partial(run, spelling)), (str(path), run_forked)):
        ended = run_it("report", name, "--num-trials", "2", "--figure", str(tmp_path / "run.png"), cwd="/")
        assert (ended.returncode, ended.stderr) == (0, "")
        assert "trials that did worse" in ended.stdout
        assert f"picture: {tmp_path / 'run.png'}" in ended.stdout
        ended = run_forked("verify", name, cwd="/")
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout.endswith("all rules hold\n")


def test_a_violated_rule_is_exit_code_1(make_run, forked, tmp_path):
    path = make_run("broken")
    with (path / "events.jsonl").open("a") as file:
        for trial_id in (90, 91):
            line = {"time_s": 99.0, "event": "launch", "trial_id": trial_id, "devices": ["cpu0"], "launch": 0}
            file.write(json.dumps(line) + "\n")
    ended = forked.run(["-m", "syne_hypersched.cli", "verify", "broken"], cwd=tmp_path)
    assert ended.returncode == 1
    assert "FAIL  no device has two owners" in ended.stdout


@pytest.mark.parametrize("command", ["report", "verify", "explain", "replay"])
def test_an_unknown_run_is_exit_code_2_and_the_runs_there_are_are_named(command, make_run, capsys):
    for name in ("digits-2026-01-01", "digits-2026-01-02", "other"):
        make_run(name)
    assert main([command, "digits"]) == 2
    assert "There are digits-2026-01-01 and digits-2026-01-02" in capsys.readouterr().err
    assert main([command, "nothing-like-it-at-all"]) == 2
    error = capsys.readouterr().err
    assert "The latest in " in error
    assert all(name in error for name in ("digits-2026-01-01", "digits-2026-01-02", "other"))


def test_a_run_without_a_journal_cannot_be_resumed(make_run, capsys):
    path = make_run("no-journal")
    assert main(["resume", "no-journal"]) == 2
    assert "run with a Journal" in capsys.readouterr().err
    (path / "journal").mkdir()
    assert main(["resume", "no-journals"]) == 2
    assert "There is no-journal" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", "run"],
        *(pytest.param([name, "run"], marks=pytest.mark.slow) for name in ("verify", "explain", "replay")),
        ["--help"],
        pytest.param(["compare", "--help"], marks=pytest.mark.slow),
    ],
)
def test_a_reader_that_has_seen_enough_is_no_error(arguments, make_run, forked, tmp_path):
    make_run("run")
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as out, open(tmp_path / "errors", "wb") as errors:
        code = forked.start(["-m", "syne_hypersched.cli", *arguments], stdout=out, stderr=errors).wait()
    assert (code, (tmp_path / "errors").read_text()) == (0, "")


RAW = {
    "a folder as a page": (
        ["report", "RUN", "--html", "."],
        "--html must be a file to be written, but '.' is a folder",
    ),
    "the root as a page": (
        ["report", "RUN", "--html", "/"],
        "--html must be a file to be written, but '/' is a folder",
    ),
    "no trials": (["report", "RUN", "--num-trials", "0"], "--num-trials must be at least 1, but got 0"),
    "no decisions": (["explain", "RUN", "--num-decisions", "0"], "--num-decisions must be at least 1, but got 0"),
    "no step": (["verify", "RUN", "--step", "0"], "--step must be positive, but got 0.0"),
    "a file for tables": (
        ["export", "RUN", "--csv", "file"],
        "--csv must be a folder to be written into, but 'file' is",
    ),
    "a file as logs": (["export", "RUN", "--tensorboard", "file"], "--tensorboard must be a folder to be written into"),
    "below a file": (["export", "RUN", "--csv", "file/tables"], "file/tables: Not a directory"),
    "a folder as a table": (
        ["replay", "RUN", "--table", "."],
        "--table must be a file to be written, but '.' is a folder",
    ),
    "fewer than no devices": (["pool", "RUN", "--devices", "-1"], "--devices must be at least 0, but got -1"),
    "no time": (["pool", "RUN", "--timeout", "0"], "--timeout must be above 0, but got 0"),
    "a port": (["watch", "RUN", "--port", "99999"], "--port must be from 0 to 65535, but got 99999"),
    "no script": (["check", "nosuch.py"], "the script must be an existing file, but got 'nosuch.py'"),
    "a page in no folder": (
        ["report", "RUN", "--html=x/y.html"],
        "cannot report on RUN: --html must be in an existing folder, but 'x' does not exist",
    ),
    "a table in no folder": (
        ["replay", "RUN", "--table", "x/y.csv"],
        "cannot replay RUN: --table must be in an existing folder, but 'x' does not exist",
    ),
    "a copy in no folder": (
        ["demo", "--copy", "x/y.py"],
        "hypersched demo: error: --copy must be in an existing folder, but 'x' does not exist",
    ),
    "a misspelt option": (
        ["report", "RUN", "--num-trial", "3"],
        "Unknown option: --num-trial. Did you mean --num-trials?",
    ),
    "an option of the script before it": (
        ["check", "--lr=0.1", "train.py"],
        "Unknown option: --lr. Options of the script follow the script: hypersched check train.py --lr 0.1",
    ),
    "an option of the script for tune": (
        ["tune", "train.py", "--lr", "0.1"],
        "Unknown option: --lr. Arguments of the script are given in the space, even constants: --space lr=0.1",
    ),
    "a misspelt option of check": (
        ["check", "train.py", "--num-device", "3"],
        "check has no option --num-device. Did you mean --num-devices?",
    ),
    "an option of check with an underscore": (
        ["check", "train.py", "--num_devices=3"],
        "check has no option --num_devices. Did you mean --num-devices?",
    ),
    "no devices to check": (["check", "train.py", "--num-devices", "0"], "--num-devices must be at least 1, but got 0"),
    "no jobs": (["compare", "--jobs", "0"], "--jobs must be at least 1, but got 0"),
    "a file as output": (["compare", "--output", "file"], "file: File exists"),
    "the metric as a parameter": (
        ["tune", "train.py", "m=log(1,2)", "--metric", "m", "--max", "--resource", "e:3", "--deadline", "5"],
        "--space must have other names than --metric, which the script reports, but has 'm'",
    ),
}


@pytest.mark.parametrize("case", RAW)
def test_messages_name_options_and_files_and_nothing_of_python(case, make_run, tmp_path, monkeypatch, capsys):
    arguments, message = RAW[case]
    make_run("RUN")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "train.py").touch()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Errno" not in error
    assert "Path(" not in error
    *lines, last = error.splitlines()
    assert len(lines) == ("Try: hypersched" in last), error
