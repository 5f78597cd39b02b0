"""Numbers in sentences and tables."""

from __future__ import annotations

import math

import pytest

from syne_hypersched._wording import counted, decimals, enumerated, metric_text, seconds_text, short


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0000"), (0.5, "0.5000"), (-12.34567, "-12.3457"), (0.01, "0.0100"), (0.0034, "0.0034"),
        (0.00002345678, "2.346e-05"), (-1e-12, "-1e-12"), (123456.7, "123456.7000"), (3.2e11, "3.2e+11"),
        (-0.0, "0.0000"),
    ],
)  # fmt: skip
def test_a_metric_has_four_decimals_or_four_digits(value, text):
    assert metric_text(value) == text


@pytest.mark.parametrize(
    ("value", "spec", "text"),
    [
        (-0.0, ".3f", "0.000"), (-0.0004, ".3f", "0.000"), (-0.0006, ".3f", "-0.001"), (-0.0001, "+.3f", "+0.000"),
        (-0.0, ".1f", "0.0"), (-2.0, "+.1f", "-2.0"), (-math.inf, ".3f", "-inf"), (math.nan, ".3f", "nan"),
    ],
)  # fmt: skip
def test_what_is_rounded_to_zero_has_no_minus(value, spec, text):
    assert decimals(value, spec) == text


@pytest.mark.parametrize(
    ("seconds", "digits", "text"),
    [
        (0.0, 4, "0"), (0.05, 3, "0.05"), (59.996, 4, "60"), (119.04, 4, "119"), (999.94, 4, "999.9"),
        (7199.97, 4, "7200"),
        (10800.0, 4, "10800"), (7253.4, 3, "7253"), (86400.0, 3, "86400"), (-7253.4, 3, "-7253"), (math.inf, 3, "inf"),
    ],
)  # fmt: skip
def test_hours_are_seconds_without_an_exponent(seconds, digits, text):
    assert seconds_text(seconds, digits) == text


def test_one_thing_is_not_several():
    assert [counted(number, "launch", "launches") for number in (0, 1, 2)] == ["0 launches", "1 launch", "2 launches"]
    assert [counted(number, "trial") for number in (1, 5)] == ["1 trial", "5 trials"]


def test_a_float_of_a_configuration_has_four_digits():
    assert [short(value) for value in (0.123456, 1e-7, 64, "adam", True)] == ["0.1235", "1e-07", "64", "adam", "True"]


def test_an_empty_text_of_a_configuration_can_be_seen():
    assert [short(value) for value in ("", None, " ")] == ["''", "None", " "]


def test_names_in_a_sentence():
    assert [enumerated(["a", "b", "c"][:number]) for number in range(4)] == ["", "a", "a and b", "a, b and c"]
