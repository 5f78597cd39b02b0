"""Commands of trials: values reach the script as they are."""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched.backends._command import program, script_arguments

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@pytest.mark.parametrize(
    ("binary", "entry_point", "expected"),
    [
        (None, "train.py", (sys.executable,)),
        (None, "train.sh", ()),
        ("python -X 'importtime=a b'", "train.py", ("python", "-X", "importtime=a b")),
        (["a program", "-x"], "train.sh", ("a program", "-x")),
    ],
)
def test_what_runs_an_entry_point(binary, entry_point, expected):
    assert program(binary, Path(entry_point)) == expected


@pytest.mark.parametrize("binary", ["", "  ", [], ["python", 3]])
def test_what_names_no_program_is_refused(binary):
    with pytest.raises(ValueError, match="binary must name a program, but got"):
        program(binary, Path("train.py"))


@settings(max_examples=300)
@given(text=TEXT, number=st.floats(), count=st.integers())
def test_a_script_reads_each_value_as_it_is(text, number, count):
    arguments = script_arguments({"text": text, "number": number, "count": count}, None, Path("/check point"))
    parser = argparse.ArgumentParser()
    for name, type_ in (("text", str), ("number", float), ("count", int), ("st_checkpoint_dir", str)):
        parser.add_argument(f"--{name}", type=type_, required=True)
    read = parser.parse_args(arguments)
    assert (read.text, read.count, read.st_checkpoint_dir) == (text, count, "/check point")
    assert read.number == number or (math.isnan(read.number) and math.isnan(number))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.1, ("--x", "0.1")),
        (1e-16, ("--x", "1e-16")),
        (-0.1, ("--x", "-0.1")),
        (-1e16, ("--x", "-10000000000000000.0")),
        (-1e-7, ("--x", "-0.0000001")),
        (float("-inf"), ("--x=-inf",)),
        ("-e", ("--x=-e",)),
        ("-", ("--x", "-")),
    ],
)
def test_values_that_begin_with_a_hyphen_are_no_options(value, expected):
    assert script_arguments({"x": value}, None, Path("/check"))[:-2] == expected


@settings(max_examples=10, deadline=None)
@given(texts=st.lists(TEXT, max_size=5))
def test_a_program_is_given_its_arguments_as_they_are(texts):
    arguments = script_arguments({f"x{i}": text for i, text in enumerate(texts)}, None, Path("/check point"))
    show = [sys.executable, "-IS", "-c", "import json, sys; print(json.dumps(sys.argv[1:]))"]
    seen = subprocess.run([*show, *arguments], capture_output=True, check=True).stdout
    assert tuple(json.loads(seen)) == arguments


def test_a_script_that_reads_its_configuration_is_told_where():
    arguments = script_arguments({"x": 1}, Path("/trial/config.json"), Path("/check"))
    assert dict(zip(arguments[::2], arguments[1::2], strict=True)) == {
        "--st_config_json_filename": "/trial/config.json",
        "--st_checkpoint_dir": "/check",
    }


@pytest.mark.parametrize("config", [{"x": "a\0b"}, {"x\0": 1}])
def test_what_no_program_can_be_given_is_refused(config):
    with pytest.raises(ValueError, match="config must hold no null character"):
        script_arguments(config, None, Path("/check"))
