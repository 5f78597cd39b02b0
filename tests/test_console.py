"""The end of a command whose output is no longer read, or that is interrupted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from syne_hypersched._console import cannot, error_text, run_command
from syne_hypersched.cli import main

ROOT = Path(__file__).resolve().parents[1]
COMMAND = """
import sys
from syne_hypersched._console import run_command

def main():
    {body}
    return 3

sys.exit(run_command(main))
"""


def run(body, **options):
    return subprocess.run([sys.executable, "-c", COMMAND.format(body=body)], cwd=ROOT, check=False, **options)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("num_lines", [1, 100_000])
def test_a_reader_that_has_gone_is_no_error(stream, num_lines):
    reader, writer = os.pipe()
    os.close(reader)
    other = {"stdout": "stderr", "stderr": "stdout"}[stream]
    try:
        ended = run(
            f"[print(i, file=sys.{stream}) for i in range({num_lines})]", **{stream: writer, other: subprocess.PIPE}
        )
    finally:
        os.close(writer)
    assert getattr(ended, other) == b""
    assert ended.returncode == 0


def test_otherwise_the_exit_code_is_that_of_the_command():
    ended = run("print('all')", capture_output=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, b"all\n", b"")


def test_what_the_encoding_of_the_output_lacks_is_escaped():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ended = run("print('\\u7cbe \\u00d7 2')", capture_output=True, env=environment)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, b"\\u7cbe \\xd7 2\n", b"")


def test_an_output_that_cannot_be_written_is_said_in_a_line():
    command = (
        "import sys; from syne_hypersched._console import run_command; sys.exit(run_command(lambda: print('x') or 0))"
    )
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", command], stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
    assert ended.returncode == 2
    assert ended.stderr == "hypersched: the output cannot be written: No space left on device\n"


def test_other_errors_of_the_system_are_raised():
    def fail():
        raise OSError(28, "No space left on device", "tables")

    with pytest.raises(OSError, match="tables"):
        run_command(fail)


def test_an_interruption_prints_no_traceback():
    ended = run("raise KeyboardInterrupt", capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (130, "\nInterrupted.\n")
    words = "error = KeyboardInterrupt(); error.__notes__ = ['To go on: this']; raise error"
    assert run(words, capture_output=True, text=True).stderr == "\nTo go on: this\n"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["-m", "syne_hypersched.experiments.report", "--help"], 0),
        (["-m", "syne_hypersched.experiments.verify", "--help"], 0),
        (["-m", "syne_hypersched.experiments.resume", "--help"], 0),
        (["benchmarking/launch_hpo.py", "--help"], 0),
        (["benchmarking/launch_hpo.py", "--list"], 0),
    ],
)
def test_every_command_ends_quietly_when_its_output_is_no_longer_read(command, code, forked):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as stdout, tempfile.TemporaryFile() as errors:
        program = forked.start(command, ROOT, stdout=stdout, stderr=errors)
        ended = program.wait(280)
        errors.seek(0)
        assert (ended, errors.read()) == (code, b"")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("num_trials must be at least 1, but got 0"), "--num-trials must be at least 1, but got 0"),
        (ValueError("step must be positive, but got 0.0"), "--step must be positive, but got 0.0"),
        (ValueError("script must be a file, but got 'x'"), "the script must be a file, but got 'x'"),
        (ValueError("--devices must be all, but got 'x'"), "--devices must be all, but got 'x'"),
        (ValueError("a bracket must be there"), "a bracket must be there"),
        (FileExistsError(17, "File exists", "tables"), "tables: File exists"),
        (FileNotFoundError("there is no such run"), "there is no such run"),
    ],
)
def test_errors_are_told_in_the_words_of_a_command_line(error, text):
    assert cannot("judge", "a run", error, script="the script") == f"cannot judge 'a run': {text}"
    assert error_text(error, script="the script") == text


@pytest.mark.parametrize("command", ["report", "verify", "explain", "watch", "pool", "replay", "resume", "export"])
def test_an_empty_name_of_a_run_is_shown_as_one(command, tmp_path, capsys):
    assert main([command, "", *(["--csv", str(tmp_path)] if command == "export" else [])]) == 2
    told = capsys.readouterr().err
    assert "RUN must be the name or the folder of an experiment, but got ''" in told
    assert re.match(r"cannot .*[a-z] '': |'' could not be resumed, ", told), told
