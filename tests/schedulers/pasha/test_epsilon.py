from __future__ import annotations

import itertools
import math
import random

import dill
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched.schedulers.pasha._epsilon import CrissCrossEpsilon
from tests.schedulers.pasha.reference_pasha import automatic_epsilon
from tests.thoroughness import examples


def epsilon_of(reports, lower=1, top=9, curves=None, **kwargs) -> CrissCrossEpsilon:
    """Epsilon after ``(trial, epoch, value)`` reports."""
    curves = {} if curves is None else curves
    epsilon = CrissCrossEpsilon(curves, **kwargs)
    epsilon.set_interval(lower, top)
    for trial_id, epoch, value in reports:
        if epoch in curves.setdefault(trial_id, {}):
            continue  # the scheduler does not pass on a second report for an epoch
        curves[trial_id][epoch] = value
        epsilon.update(trial_id, epoch)
    return epsilon


def pair(curve1, curve2):
    """Reports of two trials, an epoch of both at a time; None is an epoch that is skipped."""
    for epoch, values in enumerate(zip(curve1, curve2, strict=True), start=1):
        for trial_id, value in enumerate(values):
            if value is not None:
                yield trial_id, epoch, value


def test_before_the_first_interval_no_pair_counts():
    curves = {0: {1: 3.0, 2: 1.0, 3: 3.0}, 1: {1: 2.0, 2: 2.0, 3: 2.0}}
    epsilon = CrissCrossEpsilon(curves)
    assert epsilon.update(0, 3) == 0
    assert (epsilon.value, epsilon.num_pairs, epsilon.is_exact) == (0, 0, True)


@pytest.mark.parametrize(
    "curve1, curve2, expected",
    [
        ([3, 1, 3], [2, 2, 2], 1),  # behind, ahead, behind
        ([3, 3, 1], [2, 2, 2], 0),  # crossed once only
        ([1, 3, 1], [2, 2, 2], 1),
        ([1, 3, 2], [2, 2, 2], 0),  # tied at the last common epoch
        ([1, 2, 3, 2, 1], [2, 2, 2, 2, 2], 1),  # ties in between are no order
        ([1, 2, 1], [2, 2, 2], 0),  # a tie is not the opposite
        ([1, 3, None, 1], [2, 2, 2, 2], 1),  # an epoch skipped by one
        ([1, None, 1], [2, 2, 2], 0),  # the opposite was never seen
        ([3, 1, math.inf], [2, 2, 2], 0),  # diverged at the end: infinitely far apart
        ([math.inf, 1, 4], [2, 2, 2], 2),  # worst, ahead, behind
        ([3, 1, 3, 5, 3], [2, 2, 2, 2, 2], 1),  # the highest common epoch counts
        ([3, 1, 5, 3.5, None], [2, 2, 2, 2, 2], 1.5),
    ],
)
def test_a_pair_counts_when_it_has_criss_crossed(curve1, curve2, expected):
    epsilon = epsilon_of(pair(curve1, curve2))
    assert epsilon.value == expected
    assert epsilon.num_pairs == (expected > 0)


def test_only_epochs_of_the_interval_count():
    reports = list(pair([3, 1, 3], [2, 2, 2]))
    assert epsilon_of(reports, lower=2, top=3).value == 1
    assert epsilon_of(reports, lower=3, top=9).value == 0
    assert epsilon_of(reports, lower=1, top=2).value == 0


def test_epsilon_can_shrink_and_stays_when_no_pair_counts_any_more():
    reports = list(pair([9, 1, 9], [2, 2, 2]))
    curves: dict[int, dict[float, float]] = {}
    epsilon = epsilon_of(reports, curves=curves)
    assert epsilon.value == 7
    for trial_id, value in ((0, 3.0), (1, 2.0)):
        curves[trial_id][4] = value
        epsilon.update(trial_id, 4)
    assert epsilon.value == 1
    for trial_id in (0, 1):
        curves[trial_id][5] = 2.0
        epsilon.update(trial_id, 5)
    assert epsilon.num_pairs == 0
    assert epsilon.value == 1


def random_reports(seed: int, num_trials: int, max_epoch: int, ties: bool):
    """Reports of all trials with skipped epochs, in an order in which late ones occur."""
    rng = random.Random(seed)
    epochs = [(trial_id, epoch) for trial_id in range(num_trials) for epoch in range(1, max_epoch + 1)]
    kept = [entry for entry in epochs if rng.random() < 0.8]
    kept.sort(key=lambda entry: entry[1] + rng.uniform(0, 3))
    for trial_id, epoch in kept:
        value = rng.gauss(0, 2)
        value = math.inf if rng.random() < 0.03 else float(round(value)) if ties else value
        yield trial_id, (epoch / 2 if rng.random() < 0.1 else epoch), value


@given(
    seed=st.integers(0, 2**32),
    num_trials=st.integers(1, 12),
    lower=st.integers(0, 5),
    width=st.integers(1, 8),
    ties=st.booleans(),
)
@settings(max_examples=examples(150), deadline=None)
def test_agrees_with_a_count_of_all_pairs_for_any_order_of_reports(seed, num_trials, lower, width, ties):
    curves: dict[int, dict[float, float]] = {}
    epsilon = CrissCrossEpsilon(curves)
    epsilon.set_interval(lower, lower + width)
    expected = 0.0
    for count, (trial_id, epoch, value) in enumerate(random_reports(seed, num_trials, 10, ties)):
        if epoch in curves.setdefault(trial_id, {}):
            continue
        if count % 25 == 24:
            lower = (lower + 3) % 7
            epsilon.set_interval(lower, lower + width)
        curves[trial_id][epoch] = value
        found = automatic_epsilon(curves, lower, lower + width)
        expected = expected if found is None else found
        assert epsilon.update(trial_id, epoch) == expected


def test_the_estimate_is_close_to_the_exact_value():
    reports = list(random_reports(0, 60, 12, ties=False))
    exact, estimate = epsilon_of(reports), epsilon_of(reports, max_exact_pairs=50)
    assert exact.is_exact
    assert not estimate.is_exact
    assert exact.num_pairs == estimate.num_pairs > 50
    assert estimate.value == pytest.approx(exact.value, rel=1 / 256)
    assert estimate.value != exact.value


def test_levels_that_no_two_trials_share_cost_no_memory():
    rng = random.Random(0)
    few = epsilon_of((trial_id, 1 + rng.random(), 1.0) for trial_id in range(10))
    many = epsilon_of((trial_id, 1 + rng.random(), 1.0) for trial_id in range(2000))
    assert (len(dill.dumps(many)) - len(dill.dumps(few))) / 2000 < 300


def test_values_far_apart_neither_warn_nor_count():
    epsilon = epsilon_of(pair([1e308, -1e308, 1e308], [-1e308, 1e308, -1e308]))
    assert epsilon.value == 0


def test_the_percentile_is_over_all_pairs():
    curves = {trial_id: [4 + trial_id, 4 - trial_id, 4 + trial_id**2] for trial_id in range(5)}
    reports = [(t, epoch + 1, float(curve[epoch])) for epoch in range(3) for t, curve in curves.items()]
    distances = [abs(a**2 - b**2) for a, b in itertools.combinations(range(5), 2)]
    assert epsilon_of(reports).value == np.percentile(distances, 90)
