from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched.schedulers.pasha._criteria import RankBiasedOverlap, ReciprocalRankRegret, criterion_factory
from tests.schedulers.pasha import reference_pasha as reference
from tests.thoroughness import examples

INF = math.inf

CRITERIA = {
    "soft_ranking": [{"epsilon": 0}, {"epsilon": 1.0}, {"epsilon": 0.1}],
    "soft_ranking_std": [{"scale": 0.3}, {"scale": 2}],
    "soft_ranking_mean_dst": [{"scale": 0.3}, {"scale": 1}],
    "soft_ranking_median_dst": [{"scale": 0.3}, {"scale": 1}],
    "direct": [{}],
    "rbo": [{"p": 0.5, "threshold": 0.5}, {"p": 1, "threshold": 0.7}, {"p": 0.9, "threshold": 0.3}],
    "rrr": [{"p": 0.5, "threshold": 0.05}, {"p": 1, "threshold": 0}],
    "arrr": [{"p": 0.5, "threshold": 0.05}, {"p": 0.9, "threshold": 0.5}],
}


def changed(name: str, kwargs: dict[str, float], lower, top) -> bool:
    criterion = criterion_factory(name, kwargs)()
    for values in zip(lower, top, strict=True):
        criterion.record(*values)
    return criterion.changed()


@pytest.mark.parametrize(
    "name, kwargs", [(name, kwargs) for name, all_kwargs in CRITERIA.items() for kwargs in all_kwargs]
)
@given(seed=st.integers(0, 2**32), num_trials=st.integers(0, 15), digits=st.sampled_from((0, 1, 9)))
@settings(max_examples=examples(60), deadline=None)
def test_agrees_with_the_definition_after_every_trial(name, kwargs, seed, num_trials, digits):
    rng = random.Random(seed)
    noise = rng.choice((0.01, 0.3, 1.0))
    criterion = criterion_factory(name, kwargs)()
    lower: dict[int, float] = {}
    top: dict[int, float] = {}
    assert not criterion.changed()
    for trial_id in range(num_trials):
        quality = rng.gauss(0, 1)
        for values in (lower, top):
            drawn = round(quality + noise * rng.gauss(0, 1), digits)
            values[trial_id] = INF if rng.random() < 0.05 else drawn
        criterion.record(lower[trial_id], top[trial_id])
        epsilon = kwargs.get("epsilon")
        if "scale" in kwargs:
            epsilon = reference.distance_epsilon(name, kwargs["scale"], list(lower.values()))
            assert criterion.epsilon == pytest.approx(epsilon, rel=1e-12)
        assert criterion.changed() == reference.ranking_changed(name, kwargs, lower, top, epsilon)


@pytest.mark.parametrize("name", CRITERIA)
def test_equal_orders_are_no_change(name):
    values = [3.0, 1.0, 2.0, 5.0, 4.0]
    assert not changed(name, CRITERIA[name][0], values, [value / 2 for value in values])


@pytest.mark.parametrize("name", ["direct", "rbo", "rrr", "arrr"])
def test_reversed_orders_are_a_change(name):
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert changed(name, CRITERIA[name][0], values, values[::-1])


def test_soft_ranking_counts_equality_with_epsilon_whatever_the_rounding():
    # 0.925 - 0.9 is 0.025000000000000022, 0.325 - 0.3 is 0.025000000000000022, 0.6 - 0.575 is 0.025000000000000022.
    for low, high in ((0.9, 0.925), (0.3, 0.325), (0.575, 0.6)):
        assert not changed("soft_ranking", {"epsilon": 0.025}, [low, high], [2.0, 1.0])
        assert changed("soft_ranking", {"epsilon": 0.0249999}, [low, high], [2.0, 1.0])


def test_trials_tied_in_the_lower_rung_may_change_places():
    assert not changed("soft_ranking", {"epsilon": 0}, [1.0, 1.0], [2.0, 1.0])


def test_overlap_of_orders_worked_by_hand():
    criterion = RankBiasedOverlap(p=0.5, threshold=0.5)
    for values in ((1.0, 2.0), (2.0, 1.0), (3.0, 3.0)):
        criterion.record(*values)
    # Shares of the first 1, 2, 3 trials in common: 0, 1, 1.
    assert criterion.overlap() == 0.5 * (0 + 0.5 * 1 + 0.25 * 1)


def test_regret_of_orders_worked_by_hand():
    for absolute, last in ((False, -1 / 3), (True, 1 / 3)):
        criterion = ReciprocalRankRegret(p=0.5, absolute=absolute)
        for values in ((1.0, 3.0), (2.0, 2.0)):
            criterion.record(*values)
        assert criterion.regret() == pytest.approx((1 / 2 + 0.5 * last) / 1.5)


def test_a_diverged_trial_put_first_by_the_lower_rung_is_regretted_without_end():
    assert changed("rrr", {"threshold": 1e6}, [1.0, 2.0], [INF, 1.0])
    assert not changed("rrr", {"threshold": 0.0}, [1.0, 2.0], [1.0, INF])


@pytest.mark.parametrize("name", ["soft_ranking_std", "soft_ranking_mean_dst", "soft_ranking_median_dst"])
def test_extreme_values_give_no_warning(name):
    changed(name, {"scale": 1}, [1e308, -1e308, 1e200, INF], [1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize(
    "name, kwargs, error, message",
    [
        ("best", {}, ValueError, "ranking_criterion must be one of 'soft_ranking_auto', .* but got 'best'"),
        ("direct", {"p": 0.5}, ValueError, "ranking_kwargs of 'direct' may have no entry, but got 'p'"),
        ("rrr", {"scale": 1}, ValueError, "ranking_kwargs of 'rrr' may have p, threshold, but got 'scale'"),
        ("arrr", {"absolute": False}, ValueError, "ranking_kwargs of 'arrr' may have p, threshold, but got 'absolute'"),
        ("soft_ranking", {}, ValueError, "must have 'epsilon'"),
        ("soft_ranking", {"epsilon": -1}, ValueError, "must be a number that is not negative, but got -1"),
        ("soft_ranking", {"epsilon": math.nan}, ValueError, "must be a number that is not negative, but got nan"),
        ("soft_ranking_std", {"scale": 0}, ValueError, "must be a positive number, but got 0"),
        ("rbo", {"p": 1.5}, ValueError, "must be a number greater than 0 and at most 1, but got 1.5"),
        ("rbo", {"threshold": True}, TypeError, "must be a number that is not negative, but got True"),
    ],
)
def test_wrong_parameters_are_refused(name, kwargs, error, message):
    with pytest.raises(error, match=message):
        criterion_factory(name, kwargs)


def test_parameters_may_be_of_numpy():
    assert criterion_factory("soft_ranking", {"epsilon": np.float32(0.5)})().epsilon == 0.5


@pytest.mark.parametrize("name, scale", [("soft_ranking_std", 2), ("soft_ranking_mean_dst", 1)])
def test_the_default_scales_are_those_of_the_paper(name, scale):
    random_state, seen = np.random.RandomState(0), set()
    for _ in range(60):
        lower, top = random_state.normal(size=(2, 6)).round(1).tolist()
        result = changed(name, {}, lower, top)
        assert result == changed(name, {"scale": scale}, lower, top)
        seen.add((result, changed(name, {"scale": 1.5 * scale}, lower, top)))
    assert (True, False) in seen


@pytest.mark.parametrize(
    "name, defaults, others",
    [
        ("rbo", {"p": 0.5, "threshold": 0.5}, [{"p": 1}, {"threshold": 0.75}]),
        ("rrr", {"p": 0.5, "threshold": 0.05}, [{"p": 1}, {"threshold": 1}]),
        ("arrr", {"p": 0.5, "threshold": 0.05}, [{"p": 1}, {"threshold": 1}]),
    ],
)
def test_the_defaults_of_the_other_criteria_are_those_of_the_paper(name, defaults, others):
    random_state = np.random.RandomState(0)
    rankings = [random_state.normal(size=6) + random_state.normal(size=(2, 6)) for _ in range(200)]
    found = [changed(name, {}, *ranking.tolist()) for ranking in rankings]
    assert found == [changed(name, defaults, *ranking.tolist()) for ranking in rankings]
    for other in others:
        assert found != [changed(name, defaults | other, *ranking.tolist()) for ranking in rankings]
