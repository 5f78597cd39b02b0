from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.allocation.window import QuantileWindow


@given(st.integers(1, 8), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(0, 1))
def test_quantiles_are_those_of_the_last_values(size, values, q):
    window = QuantileWindow(size)
    for value in values:
        window.add(value)
    assert len(window) == min(size, len(values))
    assert window.quantile(q) == pytest.approx(float(np.quantile(values[-size:], q)), abs=1e-6)
    assert window.median == pytest.approx(float(np.median(values[-size:])), abs=1e-6)


def test_bad_arguments():
    with pytest.raises(ValueError, match="size must be at least 1, but got 0"):
        QuantileWindow(0)
    window = QuantileWindow(3)
    with pytest.raises(ValueError, match="an empty window has no quantile"):
        window.quantile(0.5)
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="value must be finite"):
            window.add(value)
    window.add(1.0)
    with pytest.raises(ValueError, match=r"q must be from 0 to 1, but got 1.5"):
        window.quantile(1.5)
