"""Devices that come and go as is known beforehand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.allocation.forecast import forecast, mean_devices

KNOWN = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 8)), max_size=5).map(
    lambda pairs: tuple(sorted(dict(pairs).items()))
)


@given(known=KNOWN, start=st.integers(0, 99), length=st.integers(1, 50))
def test_the_mean_is_that_of_all_seconds(known, start, length):
    def at(second):
        return ([8] + [number for time_s, number in known if time_s <= second])[-1]

    seconds = range(start, start + length)
    assert mean_devices(known, 8, start, start + length) == pytest.approx(sum(map(at, seconds)) / length)


def test_no_time_is_its_first_moment():
    assert mean_devices(((5.0, 2),), 8, 5.0, 5.0) == 2
    assert mean_devices(((5.0, 2),), 8, 4.0, 3.0) == 8
    assert mean_devices(((0.0, 9),), 8, 4.0, 5.0) == 8, "never more than there are at all"


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [("3", TypeError, "pairs"), (3, TypeError, "pairs"), ([3], TypeError, "3 in it"), ([(1, 2, 3)], TypeError, "pairs"),
     ([(2, 1), (1, 1)], ValueError, "ascending"), ([(1, -1)], ValueError, "at least 0"),
     ([(-1, 1)], ValueError, "each time")],
)  # fmt: skip
def test_a_forecast_must_make_sense(pairs, error, message):
    with pytest.raises(error, match=message):
        forecast(pairs)
