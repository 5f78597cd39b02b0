"""Arguments: NumPy's numbers are accepted, and every error names the argument, the rule and the value."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from syne_hypersched import checks


@pytest.mark.parametrize("value", [3, 3.0, np.int64(3), np.float32(3), np.uint8(3), Fraction(3)])
def test_numbers_of_all_kinds_are_numbers(value):
    assert checks.seconds("grace_s", value) == 3.0
    assert type(checks.positive_seconds("deadline_s", value)) is float


@pytest.mark.parametrize("value", ["60", None, True, np.bool_(True), [3], np.array([3]), b"3", 3j, Decimal(3)])
def test_what_is_no_number_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"^grace_s must be a number of seconds, at least 0, but got "):
        checks.seconds("grace_s", value)


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, -math.inf, np.float64("nan"), 10**400])
def test_what_is_out_of_bounds_is_a_value_error(value):
    with pytest.raises(ValueError, match=r"^grace_s must be a number of seconds, at least 0, but got "):
        checks.seconds("grace_s", value)


def test_bounds_are_inclusive_or_not():
    assert checks.number("x", 1, at_least=1, at_most=1) == 1.0
    for bounds in ({"above": 1}, {"below": 1}, {"at_least": 2}, {"at_most": 0}):
        with pytest.raises(ValueError, match="x must be between, but got 1"):
            checks.number("x", 1, "between", **bounds)
    with pytest.raises(ValueError, match="deadline_s must be a positive number of seconds, but got 0"):
        checks.positive_seconds("deadline_s", 0)


def test_integers():
    assert type(checks.integer("n", np.int64(2))) is int
    assert checks.positive_integer("n", 1) == 1
    for value in (1.0, "1", True, np.bool_(True), None):
        with pytest.raises(TypeError, match="n must be an integer, but got "):
            checks.integer("n", value)
    with pytest.raises(ValueError, match="n must be at least 1, but got 0"):
        checks.positive_integer("n", 0)
    with pytest.raises(ValueError, match="n must be from 1 to 4, the number of devices, but got 5"):
        checks.integer("n", 5, 1, 4, "the number of devices")
    with pytest.raises(ValueError, match="n must be at most 4, but got 5"):
        checks.integer("n", 5, at_most=4)


def test_truth_values():
    assert checks.truth("flag", True) is True
    assert checks.truth("flag", np.bool_(False)) is False
    for value in (0, 1, "False", None, "yes"):
        with pytest.raises(TypeError, match="flag must be True or False, but got "):
            checks.truth("flag", value)


def test_texts_and_names():
    assert checks.text("time_attr", "epoch") == "epoch"
    assert checks.names("preload", ["torch", "numpy"]) == ("torch", "numpy")
    with pytest.raises(TypeError, match="time_attr must be a text that is not empty, but got 3"):
        checks.text("time_attr", 3)
    with pytest.raises(ValueError, match="time_attr must be a text that is not empty, but got ''"):
        checks.text("time_attr", "")
    for value in ("torch", 3, None, [3]):
        with pytest.raises(TypeError, match="preload must be a sequence of names"):
            checks.names("preload", value)


def test_paths(tmp_path):
    assert checks.path("path", tmp_path) == checks.path("path", str(tmp_path)) == Path(tmp_path)
    with pytest.raises(TypeError, match="path must be a path, but got 3"):
        checks.path("path", 3)
    with pytest.raises(ValueError, match="path must be a path, but got ''"):
        checks.path("path", "")


def test_folders(tmp_path):
    assert checks.folder("folder", str(tmp_path)) == tmp_path
    assert checks.folder("folder", "a:b/c") == Path("a:b/c")
    for url in ("s3://bucket/x", Path("gs://bucket/x"), "file:///x"):
        with pytest.raises(ValueError, match="folder must be the path of a folder, but got the URL"):
            checks.folder("folder", url)


def test_one_of_a_few():
    assert checks.one_of("launch", None, ("warm", "cold", None)) is None
    with pytest.raises(ValueError, match='launch must be "warm", "cold" or None, but got \'hot\''):
        checks.one_of("launch", "hot", ("warm", "cold", None))
    with pytest.raises(ValueError, match="n must be 1, but got True"):
        checks.one_of("n", True, (1,))
    assert checks.one_of("launch", np.str_("warm"), ("warm", "cold")) == "warm"
    # A value whose comparison is no truth value, as NumPy's arrays have it.
    with pytest.raises(ValueError, match='launch must be "warm", "cold" or None'):
        checks.one_of("launch", np.array(["warm", "cold"]), ("warm", "cold", None))


@pytest.mark.parametrize("value", ["", ".", "..", "there", "there/", "there/.."])
def test_a_file_to_be_written_is_no_folder(value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    with pytest.raises(ValueError, match="output must be a file to be written, but"):
        checks.output_file("output", value)
    for check in (checks.output_file, checks.output_file_in_place):
        assert check("output", "there/page") == Path("there/page")
        assert check("output", "page") == Path("page")
    assert checks.output_file("output", "gone/page") == Path("gone/page")
    with pytest.raises(ValueError, match="output must be in an existing folder, but 'gone' does not exist"):
        checks.output_file_in_place("output", "gone/page")


def test_objects_of_a_class():
    assert checks.instance("path", Path("a"), Path, "a path") == Path("a")
    assert checks.instances("paths", iter([Path("a"), Path("b")]), Path, "paths") == (Path("a"), Path("b"))
    with pytest.raises(TypeError, match=r"^path must be a path, but got 'a'"):
        checks.instance("path", "a", Path, "a path")


@pytest.mark.parametrize("value", ["ab", b"ab", None, 5, np.array(3)])
def test_what_has_no_objects_of_a_class(value):
    with pytest.raises(TypeError, match=r"^paths must be paths, but got "):
        checks.instances("paths", value, Path, "paths")


def test_another_object_among_those_of_a_class():
    with pytest.raises(TypeError, match=r"^each of paths must be one of paths, but got 'b'"):
        checks.instances("paths", [Path("a"), "b"], Path, "paths")
