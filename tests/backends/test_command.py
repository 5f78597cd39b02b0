"""Commands of trials: values reach the script as they are."""

from __future__ import annotations

import json
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


@settings(max_examples=20, deadline=None)
@given(config=st.dictionaries(TEXT, TEXT | st.integers() | st.floats(), max_size=3))
def test_a_program_is_given_each_value_as_it_is(config):
    arguments = script_arguments(config, None, Path("/check point"))
    show = [sys.executable, "-IS", "-c", "import json, sys; print(json.dumps(sys.argv[1:]))"]
    seen = json.loads(subprocess.run([*show, *arguments], capture_output=True, check=True).stdout)
    expected = [(f"--{name}", str(value)) for name, value in config.items() if name != "st_checkpoint_dir"]
    assert list(zip(seen[::2], seen[1::2], strict=True)) == [*expected, ("--st_checkpoint_dir", "/check point")]


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
