"""Costs of launches, and failures, in virtual time."""

from __future__ import annotations

import pytest

from syne_hypersched.backends import Failures, LaunchCost


def test_by_default_each_kind_of_launch_costs_as_much_as_the_one_before():
    assert LaunchCost().by_kind == {"start": 0, "resume": 0, "resize": 0}
    assert LaunchCost(start_s=3).by_kind == {"start": 3, "resume": 3, "resize": 3}
    assert LaunchCost(start_s=3, resume_s=2).by_kind == {"start": 3, "resume": 2, "resize": 2}
    assert LaunchCost(start_s=3, resume_s=2, resize_s=0).by_kind == {"start": 3, "resume": 2, "resize": 0}


@pytest.mark.parametrize("name", ["start_s", "resume_s", "resize_s", "drain_s"])
@pytest.mark.parametrize(
    ("seconds", "error"),
    [(-1, ValueError), (float("nan"), ValueError), (float("inf"), ValueError), ("1", TypeError), (True, TypeError)],
)
def test_costs_are_seconds(name, seconds, error):
    with pytest.raises(error, match=f"{name} of the launch cost must be"):
        LaunchCost(**{name: seconds})


@pytest.mark.parametrize("name", ["start_s", "drain_s"])
def test_the_first_cost_has_no_default_to_follow(name):
    with pytest.raises(TypeError, match=name):
        LaunchCost(**{name: None})


@pytest.mark.parametrize(
    ("arguments", "error"),
    [((1.5,), ValueError), ((-0.1,), ValueError), (("0.1",), TypeError), ((0.1, 0.5), TypeError), ((True,), TypeError)],
)
def test_failures_have_a_probability_and_a_seed(arguments, error):
    with pytest.raises(error, match="of failures must be"):
        Failures(*arguments)


def test_failures_come_with_their_probability_and_anywhere_in_an_epoch():
    shares = [Failures(0.2, seed=3).share_trained(trial_id, epoch) for trial_id in range(100) for epoch in range(50)]
    failed = [share for share in shares if share is not None]
    assert len(failed) / len(shares) == pytest.approx(0.2, abs=0.02)
    assert min(failed) >= 0
    assert max(failed) < 1
    assert sum(failed) / len(failed) == pytest.approx(0.5, abs=0.05)


def test_failures_are_the_same_on_every_machine():
    assert Failures(1.0, seed=1).share_trained(2, 3) == SHARE_1_2_3
    assert Failures(0.0).share_trained(0, 0) is None


#: The second half of what `printf "1 2 3" | b2sum -l 128` prints.
SHARE_1_2_3 = 0xA342C5C43FBBDAF3 / 2**64
