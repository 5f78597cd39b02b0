"""Exit codes: who has left by itself, who has at least been told, and who was only killed."""

from __future__ import annotations

import pytest

from syne_hypersched.checkpoints._exits import have_left


@pytest.mark.parametrize(
    ("exit_codes", "handled", "expected"),
    [
        ([0, 75], [], (True, True)),
        ([143], [0], (True, True)),
        ([143], [], (False, False)),  # it may only have had such a child
        ([-15], [0], (False, True)),
        ([-15], [], (False, False)),
        ([0, -15], [1], (False, True)),
        ([-15, -15], [1], (False, False)),
        ([0, -9], [0, 1], (False, False)),
        ([0, None], [0, 1], (False, False)),
        ([1], [0], (False, False)),
    ],
)
def test_who_has_left(exit_codes, handled, expected):
    assert have_left(exit_codes, handled) == expected
