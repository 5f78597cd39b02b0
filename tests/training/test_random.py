"""Seeds and the state of the process-wide generators."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from syne_hypersched.training._random import (  # noqa: E402
    derive_seed,
    derive_seeds,
    random_state,
    seed_everything,
    seeded,
    set_random_state,
)


def draw():
    return random.random(), float(np.random.normal()), torch.rand(3).tolist()


@pytest.fixture(autouse=True)
def generators_as_they_were():
    state = random_state()
    yield
    set_random_state(state)


def test_seeds_depend_on_all_parts():
    seeds = {derive_seed(*parts) for parts in [(1, 2), (12,), (1, "2", 3), (1, 23), ("a", 1), (1, "a")]}
    assert len(seeds) == 6
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_many_seeds_are_those_of_each():
    assert derive_seeds(7, [0, 12, 10**9]) == [derive_seed(7, number) for number in (0, 12, 10**9)]


def test_seeding_makes_the_same_numbers():
    seed_everything(7)
    first = draw()
    seed_everything(7)
    assert draw() == first
    seed_everything(8)
    assert draw() != first


def test_the_state_goes_through_a_file_and_on():
    seed_everything(3)
    draw()
    buffer = io.BytesIO()
    torch.save(random_state(), buffer)
    expected = draw()
    buffer.seek(0)
    set_random_state(torch.load(buffer, weights_only=True))
    assert draw() == expected


def test_a_seeded_block_leaves_no_trace():
    seed_everything(3)
    expected = draw()
    seed_everything(3)
    with seeded(5):
        inside = draw()
    assert draw() == expected
    with seeded(5):
        assert draw() == inside
