"""Placement: as few nodes as possible, on numbers alone."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.backends.shared.placement import most_at_once, place

frees = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 5), max_size=6)


@given(free=frees, num_devices=st.integers(-1, 20), one_node=st.booleans())
def test_a_launch_is_on_as_few_nodes_as_possible(free, num_devices, one_node):
    placed = place(free, num_devices, one_node)
    if not 1 <= num_devices <= most_at_once(free, one_node):
        assert placed == {}
        return
    assert sum(placed.values()) == num_devices
    assert all(1 <= number <= free[node] for node, number in placed.items())
    fewest = next(
        count
        for count in range(1, len(free) + 1)
        if any(sum(sizes) >= num_devices for sizes in itertools.combinations(free.values(), count))
    )
    assert len(placed) == fewest
    assert not one_node or fewest == 1


def test_the_tightest_node_is_taken():
    assert place({"a": 4, "b": 2, "c": 3}, 2) == {"b": 2}
    assert place({"a": 4, "b": 2, "c": 3}, 6) == {"a": 4, "b": 2}
    assert place({"a": 3, "b": 3}, 3) == {"a": 3}
    assert place({"a": 1, "b": 1}, 2, one_node=True) == {}
