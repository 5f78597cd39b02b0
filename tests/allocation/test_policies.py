from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.allocation.policies import POLICIES, allocate, rank, softmax

metric_values = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.integers(-3, 3))


@st.composite
def divisions(draw):
    values = draw(st.dictionaries(st.integers(0, 50), metric_values, max_size=8))
    num_devices = draw(st.integers(max(len(values), 1), 24))
    sizes = [1, *sorted(draw(st.sets(st.integers(2, 24))))]
    return draw(st.sampled_from(POLICIES)), values, num_devices, sizes


@given(divisions())
def test_every_trial_holds_a_usable_size_and_together_they_fit(division):
    policy, values, num_devices, sizes = division
    devices = allocate(policy, values, num_devices, sizes, np.random.RandomState(0))
    assert set(devices) == set(values)
    assert all(held in sizes for held in devices.values())
    assert sum(devices.values()) <= num_devices
    spare = num_devices - sum(devices.values())
    if policy != "none":
        for held in devices.values():
            larger = [size for size in sizes if size > held]
            assert not larger or larger[0] - held > spare, "a device is left over that a trial could use"


@given(divisions())
def test_uniform_differs_by_one_step_and_favours_the_best(division):
    _, values, num_devices, _ = division
    devices = list(allocate("uniform", values, num_devices).values())
    assert devices == sorted(devices, reverse=True)
    assert not devices or devices[0] - devices[-1] <= 1


@pytest.mark.parametrize(
    ("policy", "devices"),
    [
        ("uniform", {2: 3, 0: 3, 1: 2}),
        ("top_job", {2: 6, 0: 1, 1: 1}),
        ("none", {2: 1, 0: 1, 1: 1}),
        # exp(-value) is 1, 1/e and 0 relative to the best: quotas 3.66, 1.34 and 0 of the 5 devices left over.
        ("softmax", {2: 5, 0: 2, 1: 1}),
    ],
)
def test_policies_by_hand(policy, devices):
    assert allocate(policy, {0: 1.0, 1: None, 2: 0.0}, 8) == devices


def test_sizes_on_a_grid_are_reached_in_whole_steps():
    assert allocate("uniform", {0: 0.0, 1: 1.0, 2: 2.0}, 16, sizes=(1, 2, 3, 4, 8, 12, 16)) == {0: 8, 1: 4, 2: 4}
    assert allocate("top_job", {0: 0.0, 1: 1.0}, 8, sizes=(1, 2, 4, 8)) == {0: 4, 1: 4}


def test_top_job_hands_on_what_the_best_trial_cannot_use():
    assert allocate("top_job", {0: 0.0, 1: 1.0, 2: 2.0}, 8, sizes=(1, 2, 3, 4)) == {0: 4, 1: 3, 2: 1}


def test_a_trial_without_a_report_ranks_worst_and_ties_are_broken_by_id():
    assert rank({5: None, 4: 1.0, 3: math.nan, 2: 1.0, 1: math.inf, 0: -1.0}) == [0, 2, 4, 1, 3, 5]
    assert allocate("top_job", {0: None, 1: 100.0}, 4) == {1: 3, 0: 1}


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=6), st.integers(-1000, 1000))
def test_softmax_does_not_change_when_every_value_is_shifted(values, shift):
    shares = softmax(values)
    assert sum(shares) == pytest.approx(1)
    assert softmax([value + shift for value in values]) == pytest.approx(shares, abs=1e-9)


@pytest.mark.parametrize("values", [[1e308, -1e308], [math.inf, math.inf], [math.inf, 0.0], [-745.0, 745.0]])
def test_softmax_is_finite(values):
    shares = softmax(values)
    assert all(0 <= share <= 1 for share in shares)
    assert sum(shares) == pytest.approx(1)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6, unique=True), st.integers(0, 10))
def test_softmax_rounds_by_largest_remainder(values, spare):
    ids = range(len(values))
    devices = allocate("softmax", dict(zip(ids, values, strict=True)), len(values) + spare)
    for trial_id, share in zip(ids, softmax(values), strict=True):
        assert abs(devices[trial_id] - 1 - share * spare) < 1


def test_random_draws_from_the_generator_given():
    values = dict.fromkeys(range(4), 0.0)
    draws = [allocate("random", values, 12, random_state=np.random.RandomState(seed)) for seed in (1, 1, 2)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


def test_no_trials():
    for policy in POLICIES:
        assert allocate(policy, {}, 4, random_state=np.random.RandomState(0)) == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("best", {0: 1.0}, 4), r"policy must be one of 'uniform', .*but got 'best'"),
        (("uniform", {0: 1.0, 1: 1.0}, 1), "num_devices must be at least 2, the live trials, but got 1"),
        (("uniform", {0: 1.0}, 4, (2, 4)), r"sizes must ascend strictly from 1, but got \(2, 4\)"),
        (("uniform", {0: 1.0}, 4, (1, 4, 4)), "sizes must ascend strictly from 1"),
        (("uniform", {0: 1.0}, 4, ()), "sizes must ascend strictly from 1"),
        (("random", {0: 1.0}, 4), "random_state must be given"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        allocate(*arguments)
