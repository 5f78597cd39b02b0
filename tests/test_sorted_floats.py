from __future__ import annotations

import math
import random
from bisect import bisect_left

import dill
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched._sorted_floats import SortedFloats
from tests.thoroughness import examples


class SmallBlocks(SortedFloats):
    _MAX_BLOCK_LENGTH = 3


def check(sorted_floats: SortedFloats, expected: list[float], probes: list[float]) -> None:
    assert len(sorted_floats) == len(expected)
    assert [sorted_floats[k] for k in range(len(expected))] == expected
    assert [sorted_floats.num_smaller(value) for value in probes] == [bisect_left(expected, value) for value in probes]


@given(st.lists(st.one_of(st.sampled_from([0.0, -0.0, 1.0, math.inf]), st.floats(allow_nan=False)), max_size=60))
@settings(max_examples=examples(300))
def test_is_a_sorted_list(values: list[float]) -> None:
    sorted_floats = SmallBlocks()
    for count, value in enumerate(values, start=1):
        sorted_floats.add(value)
        check(sorted_floats, sorted(values[:count]), values)


@pytest.mark.parametrize("order", ["ascending", "descending", "random", "all equal"])
def test_many_values(order: str) -> None:
    chance = random.Random(0)
    values = [0.5 if order == "all equal" else chance.random() for _ in range(20_000)]
    if order.endswith("scending"):
        values.sort(reverse=order == "descending")
    sorted_floats = SortedFloats()
    for index, value in enumerate(values):
        sorted_floats.add(value)
        if index == 10_000:
            sorted_floats = dill.loads(dill.dumps(sorted_floats))
    check(sorted_floats, sorted(values), [*values[:500], -1.0, 2.0])


@pytest.mark.parametrize("k", [-1, 1])
def test_refuses_positions_outside(k: int) -> None:
    sorted_floats = SortedFloats()
    sorted_floats.add(0.0)
    with pytest.raises(IndexError, match=f"k must be from 0 to 0, but got {k}"):
        sorted_floats[k]
