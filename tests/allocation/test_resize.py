from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.allocation.resize import growth_gain, resized


def decide(held: int, wanted: int, **changes: object) -> int:
    state: dict[str, object] = {
        "num_free": 8,
        "reports_since_resize": 6,
        "recharge_period": 5,
        "speed_up": float,
        "time_left_s": 100.0,
        "launch_cost_s": 1.0,
    }
    return resized(held, wanted, **{**state, **changes})  # type: ignore[arg-type]


def test_growing_needs_all_of_the_rule():
    assert decide(1, 2) == 2
    assert decide(1, 4, num_free=2) == 1
    assert decide(1, 4, num_free=3) == 4
    assert decide(1, 2, reports_since_resize=5) == 1
    assert decide(1, 2, speed_up=lambda n: 1.1 if n == 2 else 1.0) == 1


def test_the_gain_must_exceed_the_launch_by_a_tenth():
    # 2 (100 - c) / 100 > 1.1 holds for a cost c below 45 s.
    assert decide(1, 2, launch_cost_s=44.9) == 2
    assert decide(1, 2, launch_cost_s=45.1) == 1
    assert growth_gain(1, 2, float, 100, 45) == pytest.approx(1.1)


def test_shrinking_always_happens_before_the_deadline():
    assert decide(4, 1, num_free=0, reports_since_resize=0, launch_cost_s=1e9) == 1
    assert decide(4, 1, time_left_s=0.0) == 4


def test_nothing_grows_when_a_launch_takes_all_the_time_that_is_left():
    assert growth_gain(1, 8, float, 5.0, 5.0) == 0
    assert growth_gain(1, 8, float, 0.0, 0.0) == 0
    assert decide(1, 8, time_left_s=0.5) == 1
    assert decide(1, 8, time_left_s=-1.0) == 1


@given(
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(0, 8),
    st.integers(0, 10),
    st.floats(-10, 1000),
    st.floats(0, 1000),
)
def test_a_trial_stays_or_gets_what_the_policy_gives_and_is_free(held, wanted, num_free, reports, left_s, cost_s):
    now = decide(
        held, wanted, num_free=num_free, reports_since_resize=reports, time_left_s=left_s, launch_cost_s=cost_s
    )
    assert now in (held, wanted)
    assert now - held <= num_free
