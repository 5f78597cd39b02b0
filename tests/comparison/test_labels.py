from __future__ import annotations

import pytest

from syne_hypersched.comparison.labels import apart


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ([0.1, 0.5, 0.3], [0.1, 0.5, 0.3]),
        ([0.3, 0.3], [0.25, 0.35]),
        ([0.32, 0.3, 0.31, 0.9], [0.41, 0.21, 0.31, 0.9]),
        # Two pairs that become one block, because the pairs are too near to each other.
        ([0.0, 0.0, 0.08, 0.08], [-0.11, -0.01, 0.09, 0.19]),
        ([], []),
    ],
)
def test_names_keep_their_distance_and_their_order(positions, expected):
    assert apart(positions, 0.1) == pytest.approx(expected)
