from __future__ import annotations

import dill
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched.schedulers.pasha._distances import Distances
from tests.thoroughness import examples

NONE = np.empty(0)


def random_changes(rng: np.random.Generator, num_changes: int, size: int, spread: float):
    """Batches of distances to add and to remove, and what is present after each."""
    present = NONE
    for _ in range(num_changes):
        added = np.round(np.exp(spread * rng.standard_normal(rng.integers(size + 1))), rng.integers(1, 9))
        removed_index = rng.choice(len(present), size=rng.integers(len(present) + 1) // 2, replace=False)
        removed = present[removed_index]
        present = np.concatenate([np.delete(present, removed_index), added])
        yield added, removed, present


@given(seed=st.integers(0, 2**32), size=st.sampled_from((1, 5, 200, 5000)), spread=st.sampled_from((0.01, 1.0, 20.0)))
@settings(max_examples=examples(60), deadline=None)
def test_quantiles_are_those_of_numpy(seed, size, spread):
    distances = Distances()
    for added, removed, present in random_changes(np.random.default_rng(seed), 20, size, spread):
        distances.update(added, removed)
        assert len(distances) == len(present)
        if len(present):
            for q in (0.9, 0.5, 0.0, 1.0):
                assert distances.quantile(q) == np.quantile(present, q)
    assert distances.is_exact


@given(seed=st.integers(0, 2**32), spread=st.sampled_from((0.01, 1.0, 20.0)))
@settings(max_examples=examples(40), deadline=None)
def test_estimates_are_within_one_part_in_256(seed, spread):
    distances = Distances(max_exact=100)
    for added, removed, present in random_changes(np.random.default_rng(seed), 10, 1000, spread):
        distances.update(added, removed)
        if len(present):
            for q in (0.9, 0.5):
                exact = np.quantile(present, q)
                assert distances.quantile(q) == pytest.approx(exact, rel=1 / 256, abs=1e-300)


def test_estimates_need_no_memory_for_the_distances():
    distances = Distances(max_exact=1000)
    empty_bytes = len(dill.dumps(distances))
    for _ in range(10):
        distances.update(np.random.default_rng(0).random(1000), NONE)
    assert not distances.is_exact
    assert len(dill.dumps(distances)) <= empty_bytes + 1000


def test_what_was_removed_is_not_kept():
    distances = Distances()
    values = np.random.default_rng(0).random(1000)
    distances.update(values, NONE)
    for _ in range(100):
        distances.update(values, values)
    assert distances.quantile(0.5) == np.median(values)
    assert len(dill.dumps(distances)) < len(dill.dumps(Distances())) + 20 * values.nbytes


@pytest.mark.parametrize("q", [0.1, 0.9])
def test_only_distances_around_the_quantile_are_kept_sorted(q):
    distances = Distances()
    values = np.random.default_rng(0).random(100_000)
    distances.update(values, NONE)
    unsorted_bytes = len(dill.dumps(distances))
    assert distances.quantile(q) == np.quantile(values, q)
    assert len(dill.dumps(distances)) < unsorted_bytes + 0.1 * values.nbytes


def test_zeros_and_extremes_are_distances():
    distances = Distances()
    values = np.array([0.0, 5e-324, 1e-300, 1.0, 1.7e308])
    distances.update(values, NONE)
    assert [distances.quantile(q) for q in (0, 0.25, 0.5, 0.75, 1)] == list(values)


def test_quantiles_of_nothing_and_outside_of_the_unit_interval_are_refused():
    distances = Distances()
    with pytest.raises(ValueError, match="no quantile of no distances"):
        distances.quantile(0.5)
    with pytest.raises(ValueError, match=r"q must be from 0 to 1, but got 1\.5"):
        distances.quantile(1.5)
    with pytest.raises(TypeError, match=r"q must be from 0 to 1, but got '0\.5'"):
        distances.quantile("0.5")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="max_exact must be an integer, but got None"):
        Distances(None)  # type: ignore[arg-type]
