from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syne_tune import config_space as space

from syne_hypersched.schedulers._arguments import _is_in
from syne_hypersched.schedulers.joint._encoding import Encoding
from tests.thoroughness import examples

SPACE = {
    "uniform": space.uniform(-2.0, 3.0),
    "log": space.loguniform(1e-6, 10.0),
    "reverse": space.reverseloguniform(0.1, 0.9999),
    "integer": space.randint(3, 11),
    "log_integer": space.lograndint(1, 4096),
    "quantised": space.quniform(0.0, 1.0, 0.25),
    "log_quantised": space.qloguniform(0.5, 64.0, 0.5),
    "by_two": space.qrandint(2, 12, 2),
    "range": space.finrange(0.1, 0.9, 5),
    "log_range": space.logfinrange(8, 512, 7, cast_int=True),
    "ordinal": space.ordinal(["small", "middle", "large"]),
    "near": space.ordinal([16, 32, 128], kind="nn"),
    "choice": space.choice(["a", "b", "c"]),
    "single": space.choice(["only"]),
    "constant": 7,
}


@given(st.integers(0, 2**31))
@settings(max_examples=examples(60), deadline=None)
def test_a_configuration_comes_back_as_it_was(seed):
    state, encoding = np.random.RandomState(seed), Encoding(SPACE)
    config = {name: domain.sample(random_state=state) for name, domain in SPACE.items() if name in encoding.names}
    units = encoding.units(config)
    assert ((units >= 0) & (units <= 1)).all()
    back = encoding.config(units)
    for name, value in config.items():
        if isinstance(value, float):
            assert back[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name
        else:
            assert back[name] == value, name
        assert type(back[name]) is type(value), name
        assert _is_in(SPACE[name], back[name]), name


@given(st.integers(0, 2**31))
@settings(max_examples=examples(60), deadline=None)
def test_every_row_is_a_valid_configuration_and_snapping_changes_nothing_twice(seed):
    state, encoding = np.random.RandomState(seed), Encoding(SPACE)
    rows = encoding.snapped(state.uniform(size=(5, len(encoding))))
    rows = np.concatenate([rows, encoding.snapped(encoding.around(rows[0], 5, state))])
    np.testing.assert_allclose(encoding.snapped(rows), rows, atol=1e-9)
    for row in rows:
        config = encoding.config(row)
        for name in ("uniform", "log", "integer", "log_integer", "range", "choice", "ordinal", "by_two"):
            assert _is_in(SPACE[name], config[name]), (name, config[name])
        np.testing.assert_allclose(encoding.units(config), row, atol=1e-9)


def test_rows_are_spread_as_the_domain_draws():
    """A random row stands for a random configuration: the median of a log scale is its geometric mean."""
    encoding = Encoding(SPACE)
    configs = [encoding.config(row) for row in np.random.RandomState(0).uniform(size=(600, len(encoding)))]
    assert np.median([config["log"] for config in configs]) == pytest.approx(math.sqrt(1e-5), rel=0.5)
    counts = np.bincount([config["integer"] for config in configs])[3:]
    assert len(counts) == 9
    assert counts.min() > 35
    assert {config["by_two"] for config in configs} == {2, 4, 6, 8, 10, 12}


def test_constants_and_single_choices_are_left_out():
    encoding = Encoding(SPACE)
    assert "single" not in encoding.names
    assert "constant" not in encoding.names
    assert len(Encoding({"a": 1, "b": space.choice([2])})) == 0
    assert Encoding({"a": space.choice([1, 2, 3]), "b": space.randint(1, 4)}).size == 12
    assert Encoding(SPACE).size == math.inf


def test_the_only_value_of_an_interval_is_in_the_middle():
    encoding = Encoding({"x": space.uniform(2.0, 2.0), "y": space.loguniform(3.0, 3.0)})
    assert encoding.units({"x": 2.0, "y": 3.0}).tolist() == [0.5, 0.5]
    assert encoding.config(np.array([0.1, 0.9])) == {"x": 2.0, "y": pytest.approx(3.0)}


def test_distances_of_numbers_grow_and_those_of_choices_do_not():
    encoding = Encoding({"x": space.uniform(0, 10), "kind": space.choice([1, 2, 3])})
    rows = np.array([encoding.units({"x": x, "kind": kind}) for x, kind in ((0, 1), (5, 2), (10, 3))])
    squares = encoding.squares(rows, rows)
    assert squares[0][0].tolist() == [0, 0.25, 1]
    assert squares[1].tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]


def test_values_outside_of_the_domain_are_taken_as_its_ends():
    encoding = Encoding({"x": space.uniform(0, 10), "kind": space.choice(["a", "b"])})
    assert encoding.units({"x": 12.0, "kind": "z"}).tolist() == [1.0, -1.0]


def test_neighbours_of_the_ends_lie_inside():
    """What a step takes beyond an end is reflected there, alike at both ends."""
    encoding = Encoding({"x": space.uniform(0, 10)})
    low, high = (encoding.around(np.array([end]), 500, np.random.RandomState(0)) for end in (0.0, 1.0))
    for distances in (low, 1 - high):
        assert (distances > 0).all()
        assert np.median(distances) == pytest.approx(0.67 * 0.12, rel=0.2)


@given(st.integers(0, 2**31))
@settings(max_examples=examples(30), deadline=None)
def test_snapped_rows_are_those_of_their_configurations(seed):
    """To the last bit: by this the searcher knows that it has suggested a configuration before."""
    encoding = Encoding(SPACE)
    rows = np.random.RandomState(seed).uniform(size=(20, len(encoding)))
    snapped = encoding.snapped(rows)
    stepped = [i for i, name in enumerate(encoding.names) if name not in ("uniform", "log", "reverse")]
    again = np.stack([encoding.units(encoding.config(row)) for row in snapped])
    np.testing.assert_array_equal(again[:, stepped], snapped[:, stepped])


def test_distances_of_positions_are_the_scaled_squares():
    state, encoding = np.random.RandomState(0), Encoding(SPACE)
    rows = encoding.snapped(state.uniform(size=(9, len(encoding))))
    # A value that the space does not have is unlike all others, and like itself.
    rows[7:, encoding.names.index("choice")] = -1.0
    others, lengths = np.concatenate([rows[:3], rows[7:]]), state.uniform(0.2, 2.0, size=len(encoding))
    positions, of_others = encoding.positions(rows, lengths), encoding.positions(others, lengths)
    distances = ((positions[:, None] - of_others[None]) ** 2).sum(axis=2)
    expected = np.tensordot(1 / lengths**2, encoding.squares(rows, others), axes=1)
    np.testing.assert_allclose(distances, expected, atol=1e-9)
