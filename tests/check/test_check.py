"""Scripts are checked for real; ``benchmarking/faults/check_faults.py`` has all faults."""

from __future__ import annotations

import json
import os

import pytest

from benchmarking.faults.check_faults import RIGHT
from syne_hypersched.check import CheckResult, CheckRow, check_script

pytestmark = pytest.mark.usefixtures("no_process_left")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"script": "nothing.py"}, "script must be an existing file, but got 'nothing.py'"),
        ({"num_devices": 0}, "num_devices must be at least 1"),
        ({"num_reports": 1}, "num_reports must be at least 2"),
        ({"grace_s": 0}, "grace_s must be a positive number of seconds"),
        ({"tolerance": "x"}, "tolerance must be a positive number"),
        ({"timeout_s": -1}, "timeout_s must be a positive number of seconds"),
        ({"processes": "many"}, "processes must be"),
        ({"device_type": "tpu"}, "device_type must be"),
    ],
)
def test_arguments(arguments, error):
    with pytest.raises((TypeError, ValueError), match=error):
        check_script(**{"script": RIGHT, **arguments})


def test_a_folder_that_is_in_use_is_not_touched(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(ValueError, match="keep must be a new or empty folder"):
        check_script(RIGHT, keep=tmp_path)


@pytest.fixture
def hypersched_check(forked, tmp_path):
    """Runs the command in a folder, which has its temporary files too."""

    def run(*arguments):
        command = ["-m", "syne_hypersched.cli", "check", *arguments]
        return forked.run(command, cwd=tmp_path, env=os.environ | {"TMPDIR": str(tmp_path)})

    return run


def test_the_command_finds_nothing_in_a_right_script(hypersched_check, tmp_path):
    done = hypersched_check("--device-type", "cpu", RIGHT, "--step_s", "0.02", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["passed"]
    assert {row["status"] for row in result["rows"]} == {"PASS"}
    assert (result["metric"], result["resource"], result["num_devices"]) == ("loss", "epoch", 2)
    assert not list(tmp_path.glob("hypersched-check-*"))


def test_the_command_says_what_to_change(hypersched_check, tmp_path):
    script = tmp_path / "train.py"
    text = RIGHT.read_text().replace("        save(folder, state)\n", "")
    script.write_text(text.replace('"--st_checkpoint_dir"', '"--output", dest="st_checkpoint_dir"'))
    options = ["--device-type", "cpu", script, "--step_s", "0.01", "--output", "{st_checkpoint_dir}"]
    done = hypersched_check(*options)
    assert done.returncode == 1, done.stdout + done.stderr
    (failed,) = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert "nothing was written to the checkpoint folder" in failed
    assert "> Save the whole state" in done.stdout
    (kept,) = tmp_path.glob("hypersched-check-*")
    assert str(kept) in done.stdout
    assert (kept / "alone" / "launch-0" / "std.out").exists()


def test_a_result_shows_the_last_lines_of_a_log_and_whole_paths():
    log = "/tmp/hypersched-check-abc/alone/launch-0/std.err-" + "x" * 90
    row = CheckRow("runs", "FAIL", "exit code 1", f"Read {log} now.", ("Traceback", "  KeyError: 1" + "!" * 900))
    lines = str(CheckResult("train.py", "", "", 2, 3.0, (row,), None)).splitlines()
    assert any(log in line for line in lines)
    assert "         | Traceback" in lines
    assert max(map(len, lines)) < 300
    assert CheckResult("train.py", "", "", 2, 3.0, (row,), None).to_json()["rows"][0]["log"][0] == "Traceback"


def test_what_a_script_has_said_stays_in_its_line():
    row = CheckRow("reports", "PASS", "metric a\nb\x1b[2J", log=("\x1b[31mred\r",))
    lines = str(CheckResult("train.py", "", "", 2, 3.0, (row,), None)).splitlines()
    assert lines[:2] == ["PASS     reports  metric a\\nb\\x1b[2J", "         | \\x1b[31mred\\r"]


def test_a_script_that_is_not_there(hypersched_check):
    done = hypersched_check("nothing.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "hypersched check: the script must be an existing file, but got 'nothing.py'\n"
