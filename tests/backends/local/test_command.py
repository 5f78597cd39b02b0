"""Commands of trials: values reach the script as they are."""

from __future__ import annotations

import argparse
import json
import logging
import math
import subprocess
import sys
import zipfile
from enum import Enum
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched import ElasticLocalBackend
from syne_hypersched.backends.local._command import (
    ArgumentTemplate,
    ScriptArguments,
    can_be_forked,
    program,
    script_arguments,
)
from tests.thoroughness import examples

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


def test_source_can_be_forked_and_an_archive_cannot(tmp_path):
    (tmp_path / "train.py").write_text("print('PK')")
    (tmp_path / "__main__.py").touch()
    with zipfile.ZipFile(tmp_path / "app.py", "w") as archive:
        archive.write(tmp_path / "__main__.py", "__main__.py")
    assert can_be_forked(None, tmp_path / "train.py")
    assert not can_be_forked("python -O", tmp_path / "train.py")
    assert not can_be_forked(None, tmp_path / "app.py")
    assert ElasticLocalBackend(tmp_path / "app.py", 1, device_type="cpu").launch_mode == "cold"


@pytest.mark.parametrize("binary", [3, Path("/bin/sh"), print, {"sh"}, b"sh"])
def test_what_is_no_command_line_is_refused(binary):
    with pytest.raises(TypeError, match="binary must be a command line, or a list of its words, but got"):
        program(binary, Path("train.py"))


@pytest.mark.parametrize("binary", ["", "  ", [], ["python", 3]])
def test_what_names_no_program_is_refused(binary):
    with pytest.raises(ValueError, match="binary must name a program, but got"):
        program(binary, Path("train.py"))


@settings(max_examples=examples(300))
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


@settings(max_examples=examples(10), deadline=None)
@given(texts=st.lists(TEXT, max_size=5))
def test_a_program_is_given_its_arguments_as_they_are(texts):
    arguments = script_arguments({f"x{i}": text for i, text in enumerate(texts)}, None, Path("/check point"))
    show = [sys.executable, "-IS", "-c", "import json, sys; print(json.dumps(sys.argv[1:]))"]
    seen = subprocess.run([*show, *arguments], capture_output=True, check=True).stdout
    assert tuple(json.loads(seen)) == arguments


def test_a_script_that_reads_its_configuration_from_a_file_receives_its_path():
    arguments = script_arguments({"x": 1}, Path("/trial/config.json"), Path("/check"))
    assert dict(zip(arguments[::2], arguments[1::2], strict=True)) == {
        "--st_config_json_filename": "/trial/config.json",
        "--st_checkpoint_dir": "/check",
    }


class Thing:
    """Its text is where it is."""


class Named(Enum):
    VALUE = 1


NO_TEXT = [print, lambda: 1, Thing, Thing(), int, json, partial(print, 1), Thing().__repr__, "\udcff"]


@pytest.mark.parametrize("value", NO_TEXT, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("config_json", [None, Path("config.json")])
def test_a_value_without_a_text_of_its_own_is_refused_by_name(value, config_json):
    with pytest.raises(ValueError, match=r"config must hold .*'model'"):
        script_arguments({"x": 1, "model": value}, config_json, Path("checkpoints"))
    left_out = ArgumentTemplate(["{x}"])
    if config_json is None:
        assert script_arguments({"x": 1, "model": value}, None, Path("checkpoints"), left_out) == ("1",)


@pytest.mark.parametrize(
    "value",
    [None, (1, 2), {"a": [1]}, Named.VALUE, Path("/tmp"), b"ab", Fraction(1, 2), np.float32(0.5), "ä", ...],
    ids=lambda value: type(value).__name__,
)
def test_any_other_value_is_given_as_its_text(value):
    assert script_arguments({"x": value}, None, Path("checkpoints"))[:2] == ("--x", str(value))


@pytest.mark.parametrize("config", [{"x": "a\0b"}, {"x\0": 1}])
def test_what_no_program_can_be_given_is_refused(config):
    with pytest.raises(ValueError, match="config must hold no null character"):
        script_arguments(config, None, Path("/check"))


CONFIG = {"lr": 0.1, "model.width": 8, "name": "a b", "fast": True, "slow": False, "negative": -1e-7, "nothing": None}


def fill(*parts, config=CONFIG, config_json=None):
    return script_arguments(config, config_json, Path("/check"), ArgumentTemplate(parts))


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("train", ("train",)),
        ("", ("",)),
        ("{lr}", ("0.1",)),
        ("lr={lr}", ("lr=0.1",)),
        ("+trainer.width={model.width}", ("+trainer.width=8",)),
        ("{name}:{lr}/{name}", ("a b:0.1/a b",)),
        ("--name={name}", ("--name=a b",)),
        ("{lr:.3e}", ("1.000e-01",)),
        ("{nothing} {fast}", ("None True",)),
        ("{{{lr}}}", ("{0.1}",)),
        ('{{"lr": {lr}}}', ('{"lr": 0.1}',)),
        ("{{}}", ("{}",)),
        ("{negative}", ("-1e-07",)),
        ("{?fast}", ("--fast",)),
        ("{?slow}", ()),
        ("{?fast:-f|--no-fast}", ("-f",)),
        ("{?slow:-s|--no-slow}", ("--no-slow",)),
        ("{?slow:-s}", ()),
        ("{?fast:|--no-fast}", ()),
        ("{?slow:|--no-slow}", ("--no-slow",)),
        ("{st_checkpoint_dir}", ("/check",)),
        ("dir={st_checkpoint_dir}/last", ("dir=/check/last",)),
    ],
)
def test_a_template_is_filled(part, expected):
    assert fill(part) == expected
    assert fill("before", part, "after") == ("before", *expected, "after")


def test_the_rest_is_what_has_no_place_of_its_own():
    config = {"lr": 1, "fast": True, "x": -1e16, "y": "-e"}
    assert fill("train", "lr={lr}", "{?fast}", "{...}", "--end", config=config) == (
        "train", "lr=1", "--fast", "--x", "-10000000000000000.0", "--y=-e", "--st_checkpoint_dir", "/check", "--end",
    )  # fmt: skip
    assert fill("{...}") == script_arguments(CONFIG, None, Path("/check"))
    assert fill("{st_checkpoint_dir}", "{...}", config={"x": 1}) == ("/check", "--x", "1")
    assert fill() == ()


def test_a_script_that_reads_its_configuration_may_have_arguments_as_well():
    json_path = Path("/trial/config.json")
    assert fill("lr={lr}", "{...}", config_json=json_path) == (
        "lr=0.1", "--st_config_json_filename", "/trial/config.json", "--st_checkpoint_dir", "/check",
    )  # fmt: skip
    assert fill("{st_config_json_filename}", config_json=json_path) == ("/trial/config.json",)


@settings(max_examples=examples(200))
@given(text=TEXT, more=TEXT)
def test_what_a_value_holds_is_never_read_as_part_of_the_template(text, more):
    config = {"text": text, "more": more}
    assert fill("{text}", "a={text},b={more}", config=config) == (text, f"a={text},b={more}")


@pytest.mark.parametrize("value", [True, False, 1, 0, np.True_, np.int64(0)])
def test_flags_are_true_or_false(value):
    assert fill("{?x}", config={"x": value}) == (("--x",) if value else ())


@pytest.mark.parametrize("value", ["True", "", 2, 0.5, None, [1]])
def test_what_is_no_flag_is_an_error(value):
    with pytest.raises(ValueError, match=r"arguments must have \{\?x\} for a value that is true or false, but it is"):
        fill("{?x}", config={"x": value})


def test_unknown_placeholders_are_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"only for lr, x, st_checkpoint_dir, but has \{l\}, \{momentum\}"):
        fill("{l}", "{?momentum}", "{lr}", config={"lr": 1, "x": 2})
    with pytest.raises(ValueError, match=r"has \{st_config_json_filename\}"):
        fill("{st_config_json_filename}")


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("{lr", "a closing brace for each opening one"),
        ("lr}", "a closing brace for each opening one"),
        ("{}", "a name, and perhaps a format, in each pair of braces"),
        ("{?}", "a name, and perhaps a format"),
        ("{lr!r}", "a name, and perhaps a format"),
        ("{lr:{width}}", "a name, and perhaps a format"),
        ('{"lr": {lr}}', "a name, and perhaps a format, in each pair of braces, and two braces for one that is meant"),
        ("--{...}", r"\{\.\.\.\} as an entry of its own"),
        ("{?fast}!", r"\{\?fast\} as an entry of its own"),
    ],
)
def test_a_template_that_cannot_be_read_is_an_error(part, message):
    with pytest.raises(ValueError, match=f"arguments must have {message}"):
        ArgumentTemplate([part])


@pytest.mark.parametrize("parts", ["--lr {lr}", b"x", 5, {"lr": 1}, ["--lr", 5], [Path("x")]])
def test_a_template_is_a_list_of_strings(parts):
    with pytest.raises(TypeError, match="arguments must be a list of strings"):
        ArgumentTemplate(parts)


def test_formats_fit_their_values():
    with pytest.raises(ValueError, match=r"formats that fit the values, but has \{name:\.3f\} for 'a b'"):
        fill("{name:.3f}")


def test_what_no_program_can_be_given_is_refused_in_a_template():
    with pytest.raises(ValueError, match="config must hold no null character"):
        fill("x={x}", config={"x": "a\0b"})


def test_entries_that_are_left_out_are_named_once(caplog):
    arguments = ScriptArguments(["{lr}"])
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            arguments.of({"lr": 1, "x": 2}, None, Path("/check"))
    (record,) = caplog.records
    assert record.getMessage() == (
        "The script does not receive x, st_checkpoint_dir: arguments has no placeholder for it, nor {...} for all "
        "other entries. A trial that is paused or resized then starts from the beginning."
    )
    caplog.clear()
    ScriptArguments().of({"lr": 1}, None, Path("/check"))
    ScriptArguments(["{st_config_json_filename}", "{st_checkpoint_dir}"]).of({"lr": 1}, Path("/c"), Path("/check"))
    assert not caplog.records
