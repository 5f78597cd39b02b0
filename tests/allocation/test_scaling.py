from __future__ import annotations

import math
import statistics
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.allocation.scaling import (
    PRIOR_SERIAL_SHARE,
    PUBLISHED_SCALING,
    LearntScaling,
    LinearScaling,
    ScalingName,
    TableScaling,
    make_scaling,
)

speeds = st.floats(0.01, 100)
tables = st.dictionaries(st.integers(2, 40), speeds, max_size=6).flatmap(
    lambda table: speeds.map(lambda one: {1: one, **table})
)


@given(tables, st.integers(1, 50))
def test_a_table_is_normalised_interpolated_and_not_extended(table, num_devices):
    scaling = TableScaling(table)
    sizes = sorted(table)
    expected = np.interp(num_devices, sizes, [table[size] / table[1] for size in sizes])
    assert scaling.speed_up(1) == 1
    assert scaling.speed_up(num_devices) == pytest.approx(float(expected))


@given(tables, st.integers(1, 40), st.one_of(st.none(), st.integers(1, 8)))
def test_usable_sizes_get_faster_and_lie_on_the_grid(table, num_devices, grid):
    scaling = TableScaling(table)
    sizes = scaling.usable_sizes(num_devices, grid)
    assert sizes[0] == 1
    assert sizes[-1] <= num_devices
    assert all(grid is None or size <= grid or size % grid == 0 for size in sizes)
    gains = [scaling.speed_up(size) for size in sizes]
    assert gains == sorted(set(gains))
    on_grid = [n for n in range(1, num_devices + 1) if grid is None or n <= grid or n % grid == 0]
    assert gains[-1] == max(map(scaling.speed_up, on_grid))


def test_a_table_that_falls_is_respected():
    babi = TableScaling(PUBLISHED_SCALING["babi"])
    assert babi.usable_sizes(32)[-1] == 8
    assert babi.usable_sizes(7)[-1] == 7
    dip = TableScaling({1: 1, 2: 1.8, 3: 1.5, 4: 3})
    assert dip.usable_sizes(8) == (1, 2, 4)
    assert dip.usable_sizes(3) == (1, 2)


def test_published_tables_start_at_one_and_lie_below_linear():
    assert len(PUBLISHED_SCALING) == 7
    for table in PUBLISHED_SCALING.values():
        assert table[1] == 1
        assert all(table[size] <= size for size in table)


def test_the_prior_is_the_median_of_the_published_tables():
    shares = [(8 / table[8] - 1) / 7 for table in PUBLISHED_SCALING.values()]
    assert pytest.approx(statistics.median(shares), abs=5e-5) == PRIOR_SERIAL_SHARE


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ({}, ValueError, "scaling must have an entry for 1 device"),
        ({2: 1.9, 4: 3.0}, ValueError, r"scaling must have an entry for 1 device, but got entries for \[2, 4\]"),
        ({1: 1, 0: 1}, ValueError, "number of devices must be at least 1, but got 0"),
        ({1: 1, 2: 0.0}, ValueError, "a positive finite number for 2 devices, but got 0.0"),
        ({1: 1, 2: math.nan}, ValueError, "positive finite"),
        ({1: math.inf}, ValueError, "positive finite"),
        ({1: 1, 2.5: 2}, TypeError, "number of devices must be an integer, but got 2.5"),
        ({1: 1, 2: "fast"}, TypeError, "number for 2 devices, but got 'fast'"),
        ([1, 2], TypeError, "scaling must be a mapping"),
    ],
)
def test_bad_tables(table, error, message):
    with pytest.raises(error, match=message):
        TableScaling(table)


class TestMakeScaling:
    def test_a_callable_is_asked_for_every_size_and_normalised(self):
        asked = []

        def speed(num_devices):
            asked.append(num_devices)
            return 10 * math.sqrt(num_devices)

        scaling = make_scaling(speed, 4)
        assert asked == [1, 2, 3, 4]
        assert [scaling.speed_up(n) for n in range(1, 5)] == pytest.approx([math.sqrt(n) for n in range(1, 5)])

    def test_kinds(self):
        learnt = LearntScaling()
        assert isinstance(make_scaling("linear", 4), LinearScaling)
        assert make_scaling(None, 4, learnt=learnt) is learnt
        assert isinstance(make_scaling(None, 4), LearntScaling)
        assert make_scaling({1: 2.0, 2: 3.0}, 4).speed_up(2) == 1.5

    def test_bad_arguments(self):
        with pytest.raises(TypeError, match=r"scaling must be a name, a mapping .* or None, but got 3"):
            make_scaling(3, 4)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="scaling must be a positive finite number for 1 device, but got None"):
            make_scaling(lambda n: None, 4)  # type: ignore[arg-type, return-value]
        with pytest.raises(ValueError, match="scaling must be a positive finite number for 2 devices, but got -1"):
            make_scaling(lambda n: 3 - 2 * n if n < 3 else 1, 4)
        with pytest.raises(ValueError, match=r"scaling must be one of 'resnet18', .*'none', a table, .* got 'lin'"):
            make_scaling("lin", 4)  # type: ignore[arg-type]

    @pytest.mark.parametrize("name", get_args(ScalingName))
    def test_every_name_has_a_scaling(self, name):
        table = {"linear": {1: 1, 2: 2, 4: 4, 8: 8}, "none": {1: 1, 8: 1}, **PUBLISHED_SCALING}[name]
        scaling = make_scaling(name, 8)
        assert {size: scaling.speed_up(size) for size in table} == table

    def test_every_published_table_has_a_name(self):
        assert set(get_args(ScalingName)) == {*PUBLISHED_SCALING, "linear", "none"}


class TestLearntScaling:
    def test_before_anything_is_seen_it_is_the_prior(self):
        scaling = LearntScaling()
        assert scaling.speed_up(1) == 1
        assert scaling.speed_up(8) == pytest.approx(PUBLISHED_SCALING["resnet50"][8], rel=0.01)

    @pytest.mark.parametrize("true", [{2: 1.9, 4: 3.4}, {2: 1.0, 4: 0.8}, {2: 0.5, 4: 0.3}, {2: 2.0, 4: 4.0}])
    def test_it_converges_to_what_trials_measure_whatever_their_own_speed(self, true):
        scaling = LearntScaling()
        for trial_id in range(200):
            alone_s = 0.1 * 1.02**trial_id
            for size in (1, *true):
                scaling.observe(trial_id, size, alone_s / true.get(size, 1))
        for size, speed_up in true.items():
            assert scaling.speed_up(size) == pytest.approx(speed_up, rel=0.02)

    def test_one_measurement_moves_the_estimate_half_of_the_way(self):
        scaling = LearntScaling()
        prior = scaling.speed_up(2)
        scaling.observe(0, 1, 1.0)
        scaling.observe(0, 2, 1.0)
        assert scaling.speed_up(2) == pytest.approx(math.sqrt(prior * 1.0))

    def test_poor_scaling_is_expected_to_go_on_and_then_more_devices_are_not_usable(self):
        scaling = LearntScaling()
        for trial_id in range(5):
            scaling.observe(trial_id, 1, 1.0)
            scaling.observe(trial_id, 2, 1.3)
        assert scaling.usable_sizes(8) == (1,)
        assert 0 < scaling.speed_up(8) < scaling.speed_up(4) < scaling.speed_up(2) < 1

    def test_outliers_of_a_trial_and_trials_that_are_outliers_are_outvoted(self):
        clean, noisy = LearntScaling(), LearntScaling()
        for trial_id in range(5):
            for epoch in range(9):
                for size, seconds in ((1, 1.0), (2, 0.6)):
                    clean.observe(trial_id, size, seconds)
                    noisy.observe(trial_id, size, seconds * (100 if epoch < 3 or trial_id == size else 1))
        assert noisy.speed_up(2) == pytest.approx(clean.speed_up(2))

    def test_epoch_times_are_scaled_from_the_nearest_size_seen(self):
        scaling = LearntScaling()
        assert scaling.epoch_time_s(0, 1) is None
        scaling.observe(0, 2, 3.0)
        assert scaling.epoch_time_s(0, 2) == 3.0
        assert scaling.epoch_time_s(0, 4) == pytest.approx(3.0 * scaling.speed_up(2) / scaling.speed_up(4))
        scaling.forget(0)
        assert scaling.epoch_time_s(0, 2) is None

    def test_between_two_measured_sizes_the_deviation_from_the_prior_is_interpolated_in_log_devices(self):
        learnt = LearntScaling()
        for trial_id in range(99):  # many trials, so that the prior has little weight
            for size, speed_up in ((1, 1.0), (2, 1.5), (8, 3.0)):
                learnt.observe(trial_id, size, 10.0 / speed_up)
        prior = LearntScaling()
        deviation = [math.log(learnt.speed_up(size) / prior.speed_up(size)) for size in (2, 4, 8)]
        assert deviation[2] < deviation[1] < deviation[0] < 0
        assert deviation[1] == pytest.approx((deviation[0] + deviation[2]) / 2)
        assert learnt.speed_up(2) == pytest.approx(1.5, rel=0.01)

    def test_below_the_smallest_measured_size_the_deviation_falls_to_none_on_one_device(self):
        learnt, prior = LearntScaling(), LearntScaling()
        learnt.observe(0, 1, 1.0)
        learnt.observe(0, 4, 1.0)
        deviation = [math.log(learnt.speed_up(size) / prior.speed_up(size)) for size in (2, 4)]
        assert deviation[0] == pytest.approx(deviation[1] / 2)
        assert deviation[1] < -0.1

    def test_what_a_trial_has_measured_outlives_it(self):
        scaling = LearntScaling()
        scaling.observe(0, 1, 1.0)
        scaling.observe(0, 2, 1.0)
        before = scaling.speed_up(2)
        scaling.forget(0)
        assert scaling.speed_up(2) == before

    @given(
        st.lists(
            st.tuples(st.integers(0, 3), st.integers(1, 8), st.floats(1e-3, 1e3)),
            max_size=30,
        )
    )
    def test_it_is_positive_and_finite_whatever_is_reported(self, epochs):
        scaling = LearntScaling()
        for trial_id, size, seconds in epochs:
            scaling.observe(trial_id, size, seconds)
        assert scaling.speed_up(1) == 1
        assert all(0 < scaling.speed_up(size) < math.inf for size in range(1, 17))

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="num_devices must be at least 1, but got 0"):
            LearntScaling().observe(0, 0, 1.0)
        for seconds in (0.0, math.inf, math.nan):
            with pytest.raises(ValueError, match="epoch_time_s must be positive and finite"):
                LearntScaling().observe(0, 1, seconds)
        with pytest.raises(ValueError, match="num_devices must be at least 1"):
            LinearScaling().usable_sizes(0)
        with pytest.raises(ValueError, match="allocation_grid must be at least 1, but got 0"):
            LinearScaling().usable_sizes(4, 0)

    def test_devices_of_two_nodes_are_not_those_of_one(self):
        scaling = LearntScaling()
        for trial_id in range(200):
            scaling.observe(trial_id, 1, 1.0)
            scaling.observe(trial_id, 2, 2.0, num_nodes=2)
        assert scaling.speed_up(2) == pytest.approx(0.5, rel=0.02), "as long as it was seen on no single node"
        assert scaling.speed_up(4) < 0.5, "as many nodes at least"
        for trial_id in range(200):
            scaling.observe(trial_id, 2, 0.5)
        assert scaling.speed_up(2) == pytest.approx(2.0, rel=0.02)
        assert scaling.epoch_time_s(0, 2) == 0.5
        assert scaling.epoch_time_s(0, 2, num_nodes=2) == 2.0
        assert scaling.epoch_time_s(0, 4, num_nodes=2) == pytest.approx(
            2.0 * scaling._speed_up(2, 2) / scaling._speed_up(4, 2)
        )

    @pytest.mark.parametrize("num_nodes", [0, 3])
    def test_there_are_no_more_nodes_than_devices(self, num_nodes):
        with pytest.raises(ValueError, match="num_nodes must be from 1 to 2"):
            LearntScaling().observe(0, 2, 1.0, num_nodes)


def test_an_old_third_argument_is_refused():
    with pytest.raises(TypeError, match=r"learnt must be a LearntScaling or None .*, but got True"):
        make_scaling(None, 4, True)
