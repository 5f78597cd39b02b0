from __future__ import annotations

import math
import random
import sys
from fractions import Fraction

import dill
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched.rungs import Rung, RungLadder, rung_levels
from tests.thoroughness import examples

# Few different values, so that ties are frequent.
values = st.one_of(st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1.0, math.inf]), st.floats(-1e6, 1e6))


def rung_of(recorded: list[float]) -> Rung:
    rung = Rung(1)
    for trial_id, value in enumerate(recorded):
        assert rung.record(trial_id, value)
    return rung


@pytest.mark.parametrize(
    ("grace_period", "reduction_factor", "max_t", "levels"),
    [
        (1, 3, 81, (1, 3, 9, 27)),
        (1, 3, 82, (1, 3, 9, 27, 81)),
        (2, 4, 100, (2, 8, 32)),
        (1, 2.5, 40, (1, 2.5, 6.25, 15.625, 39.0625)),
        (100, 1.1, 134, (100, 110, 121, 133.1)),
        (0.1, 3, 1, (0.1, 0.3, 0.9)),
        (3, 3, 3, ()),
        (5, 3, 3, ()),
        (1, np.float64(3.0), np.int64(10), (1, 3, 9)),
    ],
)
def test_rung_levels(
    grace_period: float, reduction_factor: float, max_t: float, levels: tuple[float | int, ...]
) -> None:
    computed = rung_levels(grace_period, reduction_factor, max_t)
    assert computed == levels
    assert [type(level) for level in computed] == [type(level) for level in levels]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 3, 9), ValueError, "grace_period must be positive, but got 0"),
        ((1, 1, 9), ValueError, "reduction_factor must be greater than 1, but got 1"),
        ((1, 3, -9), ValueError, "max_t must be positive, but got -9"),
        ((1, math.nan, 9), ValueError, "reduction_factor must be finite, but got nan"),
        ((1, 3, math.inf), ValueError, "max_t must be finite, but got inf"),
        (("1", 3, 9), TypeError, "grace_period must be a number, but got '1'"),
        ((1, True, 9), TypeError, "reduction_factor must be a number, but got True"),
    ],
)
def test_rung_levels_refuses(arguments: tuple[float, float, float], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        rung_levels(*arguments)


@given(st.lists(values, min_size=1, max_size=60), st.floats(0, 1))
def test_quantile_is_numpys(recorded: list[float], q: float) -> None:
    finite = [value if value < math.inf else 1e7 for value in recorded]
    np.testing.assert_allclose(rung_of(finite).quantile(q), np.quantile(finite, q), rtol=1e-9, atol=1e-3)


@given(st.integers(1, 1000), st.integers(2, 100), st.data())
def test_quantile_that_falls_on_a_value_is_that_value(multiple: int, denominator: int, data: st.DataObject) -> None:
    numerator = data.draw(st.integers(0, denominator))
    rung = rung_of([float(value) for value in range(multiple * denominator + 1)])
    exact = float(multiple * numerator)
    assert rung.quantile(numerator / denominator) == exact
    assert rung.quantile(1 - (denominator - numerator) / denominator) == exact


def test_rounding_alone_would_refuse_equality() -> None:
    # 0.7 * 90 is 62.99999999999999 in floating point: without care the cutoff lies below the value it falls on.
    assert 0.7 * 90 < 63
    assert rung_of([float(value) for value in range(91)]).quantile(0.7) == 63.0


@given(st.lists(values, min_size=2, max_size=40), st.fractions(0, 1, max_denominator=12))
def test_the_worst_value_never_breaks_a_quantile(recorded: list[float], q: Fraction) -> None:
    ordered = sorted(recorded)
    position = q * (len(ordered) - 1)
    below, above = ordered[math.floor(position)], ordered[math.ceil(position)]
    quantile = rung_of(recorded).quantile(float(q))
    assert below <= quantile <= above
    if below < above == math.inf:
        assert quantile == sys.float_info.max


@given(st.lists(values, max_size=60), values)
def test_num_better_counts_smaller_values(recorded: list[float], value: float) -> None:
    assert rung_of(recorded).num_better(value) == sum(other < value for other in recorded)


@given(st.integers(0, 2**32))
@settings(max_examples=examples(200))
def test_best_paused_among_random_pauses(seed: int) -> None:
    chance = random.Random(seed)
    rung = Rung(3)
    recorded: list[float] = []
    paused: list[int] = []
    for _ in range(80):
        if not recorded or chance.random() < 0.5:
            recorded.append(chance.randint(0, 4) / 4)
            rung.record(len(recorded) - 1, recorded[-1])
        trial_id = chance.randrange(len(recorded))
        if trial_id not in paused and chance.random() < 0.6:
            rung.pause(trial_id)
            rung.pause(trial_id)
            paused.append(trial_id)
        else:
            rung.unpause(trial_id)
            paused = [other for other in paused if other != trial_id]
        if chance.random() < 0.1:
            rung = dill.loads(dill.dumps(rung))
        assert rung.best_paused() == min(paused, key=lambda other: (recorded[other], other), default=None)


def test_the_first_value_is_kept() -> None:
    rung = Rung(1)
    assert rung.record(5, 1.0)
    assert not rung.record(5, 0.0)
    assert rung.value(5) == 1.0
    assert len(rung) == 1
    assert 5 in rung
    assert 4 not in rung


def test_rung_refuses() -> None:
    rung = Rung(3)
    for value in (math.nan, -math.inf):
        with pytest.raises(ValueError, match="value of trial 0 must be a number greater than -inf"):
            rung.record(0, value)
    assert len(rung) == 0
    with pytest.raises(ValueError, match="the rung of level 3 has no quantile: nothing is recorded"):
        rung.quantile(0.5)
    with pytest.raises(KeyError, match="trial 0 has no value at the rung of level 3"):
        rung.value(0)
    with pytest.raises(KeyError, match="trial 0 has no value at the rung of level 3"):
        rung.pause(0)
    rung.record(0, 1.0)
    with pytest.raises(ValueError, match=r"q must be from 0 to 1, but got 1\.1"):
        rung.quantile(1.1)


def test_ladder_records_at_every_rung_passed() -> None:
    ladder = RungLadder((1, 3, 9))
    assert [rung.level for rung in ladder.passed(0.5)] == []
    assert [rung.level for rung in ladder.passed(3)] == [3, 1]
    assert [rung.level for rung in ladder.record(0, 1, 5.0)] == [1]
    assert [rung.level for rung in ladder.record(0, 100, 4.0)] == [9, 3]
    assert ladder.record(0, 100, 3.0) == ()
    assert [rung.value(0) for rung in ladder.rungs] == [5.0, 4.0, 4.0]


def test_ladder_of_no_rungs() -> None:
    ladder = RungLadder(())
    assert ladder.rungs == ladder.passed(10) == ladder.record(0, 10, 1.0) == ()


def test_ladder_refuses_levels_that_do_not_ascend() -> None:
    with pytest.raises(ValueError, match=r"levels must be strictly ascending, but got \[1, 3, 3\]"):
        RungLadder((1, 3, 3))


@pytest.mark.parametrize("arguments", [(1, 1 + 1e-9, 81), (1, 1.0001, 81), (1e-300, 1.5, 1e300)])
def test_a_ratio_next_to_one_is_refused_at_once(arguments):
    with pytest.raises(ValueError, match="reduction_factor must give at most 1000 rungs between grace_period = "):
        rung_levels(*arguments)


def test_levels_far_apart_have_few_rungs():
    assert len(rung_levels(1e-300, 10, 1e300)) == 600


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), max_size=40))
@settings(max_examples=examples(60), deadline=None)
def test_nothing_is_recorded_below_the_next_level(reports):
    """Levels may be skipped, repeated, or fall."""
    ladder = RungLadder((1, 3, 9, 27))
    next_levels = {trial_id: ladder.next_level(trial_id, -math.inf) for trial_id in range(4)}
    assert set(next_levels.values()) == {1}
    for trial_id, resource in reports:
        rung = ladder.record_highest(trial_id, resource, 0.5)
        if resource < next_levels[trial_id]:
            assert rung is None
        next_levels[trial_id] = ladder.next_level(trial_id, resource)


def test_the_next_level_is_that_of_the_next_rung_or_none():
    ladder = RungLadder((1, 3, 9))
    ladder.record_highest(0, 4, 0.5)
    assert ladder.next_level(0, 4) == -math.inf, "it has no value at level 1 yet"
    ladder.record_highest(0, 4, 0.5)
    assert ladder.next_level(0, 4) == 9
    ladder.record_highest(0, 9, 0.5)
    assert ladder.next_level(0, 9) == math.inf
