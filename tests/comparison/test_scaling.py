from __future__ import annotations

import pytest

from syne_hypersched.allocation.scaling import PUBLISHED_SCALING
from syne_hypersched.comparison.scaling import SCALINGS, parse_scaling, scaling_table


def test_a_name_or_a_table():
    assert parse_scaling("1:1,2:1.8") == {1: 1.0, 2: 1.8}
    for name in SCALINGS:
        assert parse_scaling(name) == name


@pytest.mark.parametrize("text", ["1:1,2", "a:1", "1:1:1"])
def test_texts_that_are_no_table(text):
    with pytest.raises(ValueError, match=f"a scaling table must be written as .* but got '{text}'"):
        parse_scaling(text)


def test_tables_that_make_no_sense():
    with pytest.raises(ValueError, match="must have an entry for 1 device"):
        parse_scaling("2:1.8")
    with pytest.raises(ValueError, match="did you mean 'resnet50'"):
        parse_scaling("resnet5o")


def test_the_scaling_that_a_scheduler_can_know():
    assert scaling_table("resnet50", 8) == PUBLISHED_SCALING["resnet50"]
    assert scaling_table("linear", 8) == {1: 1.0, 8: 8.0}
    assert scaling_table("none", 8) == {1: 1.0}
    assert scaling_table({1: 1.0, 2: 1.5}, 8) == {1: 1.0, 2: 1.5}
    assert scaling_table("measured", 8) is None
