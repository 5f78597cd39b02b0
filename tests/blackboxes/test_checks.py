from __future__ import annotations

import math

import numpy as np
import pytest

from syne_hypersched.blackboxes._checks import check_members, checked_levels

FINE = {
    "configurations": [{"lr": 0.1}], "metrics": {"loss": [[1.0]]}, "configuration_space": None, "time_attr": "epoch",
    "elapsed_time_attr": "elapsed_s",
}  # fmt: skip


def test_members_that_are_fine():
    check_members(**FINE)
    check_members(**{**FINE, "configurations": ({"lr": 0.1},), "configuration_space": {"lr": None}})


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        (
            "configurations",
            {"lr": 0.1},
            TypeError,
            "configurations must be a list of dictionaries, but got {'lr': 0.1}",
        ),
        ("configurations", "lr", TypeError, "configurations must be a list of dictionaries, but got 'lr'"),
        ("configurations", 3, TypeError, "configurations must be a list of dictionaries, but got 3"),
        ("configurations", [{}, "a"], TypeError, "configurations[1] must be a dictionary, but got 'a'"),
        ("configurations", [], ValueError, "configurations must name at least one configuration, but got none"),
        ("metrics", None, TypeError, "metrics must be a dictionary, but got None"),
        ("metrics", [1], TypeError, "metrics must be a dictionary, but got [1]"),
        ("configuration_space", [1], TypeError, "configuration_space must be a dictionary, but got [1]"),
        ("time_attr", "", TypeError, "time_attr must be a name, but got ''"),
        ("time_attr", 1, TypeError, "time_attr must be a name, but got 1"),
        ("elapsed_time_attr", None, TypeError, "elapsed_time_attr must be a name, but got None"),
    ],
)
def test_a_member_of_the_wrong_type_is_named(name, value, error, message):
    with pytest.raises(error) as caught:
        check_members(**{**FINE, name: value})
    assert str(caught.value) == message


def test_a_long_member_is_not_quoted_in_full():
    with pytest.raises(TypeError) as caught:
        check_members(**{**FINE, "metrics": list(range(1000))})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("levels", "plain"), [([1, 2.0, 2.5], (1, 2, 2.5)), (np.array([1, 3]), (1, 3)), (range(1, 3), (1, 2)), ([], ())]
)
def test_levels_become_pythons_own_numbers(levels, plain):
    found = checked_levels(levels, len(plain))
    assert found == plain
    assert [type(level) for level in found] == [type(level) for level in plain]


@pytest.mark.parametrize(
    ("levels", "error"),
    [
        ("123", TypeError), (3, TypeError), ([1, "2"], TypeError), ([1, True], TypeError), ([1, 2, 3], ValueError),
        ([1], ValueError), ([2, 1], ValueError), ([1, 1], ValueError), ([1, math.nan], ValueError),
        ([1, math.inf], ValueError), ([1, 2, math.nan], ValueError),
    ],
)  # fmt: skip
def test_levels_that_are_none(levels, error):
    with pytest.raises(error, match="levels must be"):
        checked_levels(levels, 2)
