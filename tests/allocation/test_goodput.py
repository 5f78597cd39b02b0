from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched.allocation.goodput import (
    BatchLimits,
    Outlook,
    allocate_goodput,
    best_batches,
    efficiency,
    progress,
)
from syne_hypersched.allocation.resize import MIN_GAIN
from syne_hypersched.allocation.throughput import ThroughputModel
from tests.thoroughness import examples

MAX_T = 100.0

coefficients = st.floats(1e-3, 1.0)
models = st.builds(ThroughputModel, coefficients, coefficients, coefficients, coefficients, st.floats(1, 10))


class TestEfficiency:
    def test_is_the_formula_of_pollux(self):
        var, sqr, initial = 3.0, 0.5, 16.0
        for batch in (16.0, 32.0, 1000.0):
            scale = batch / initial
            expected = (var + sqr) / (var / scale + sqr) / scale
            assert efficiency(batch, initial, initial * var / sqr) == pytest.approx(expected)

    @given(st.floats(1, 1e4), st.floats(1, 1e3), st.floats(0, 1e6))
    def test_falls_with_the_batch_from_one(self, ratio, initial, noise_scale):
        at_initial, above, further = efficiency([initial, initial * ratio, 2 * initial * ratio], initial, noise_scale)
        assert at_initial == pytest.approx(1)
        assert 1 / ratio * (1 - 1e-9) <= above <= at_initial
        assert 0 < further < above

    def test_with_noise_alone_every_batch_has_the_same_goodput(self):
        assert (efficiency([1, 10, 1000], 10, math.inf) == 1).all()


class TestBestBatches:
    @settings(deadline=None)
    @given(models, st.floats(1, 1e5), st.integers(1, 300), st.integers(1, 20), st.none() | st.integers(1, 64))
    def test_nothing_within_the_limits_is_better(self, model, noise_scale, initial, times, largest_local):
        limits = BatchLimits(initial, initial * times, largest_local)
        plans = best_batches(model, noise_scale, range(1, 9), limits)
        assert (plans.local_batch_size >= 1).all()
        assert largest_local is None or (plans.local_batch_size <= largest_local).all()
        rounding = plans.num_devices * (plans.accumulation_steps + 1)
        assert (plans.batch_size >= initial).all()
        assert (plans.batch_size < np.maximum(limits.largest, initial) + rounding).all()
        throughput = model.throughput(plans.num_devices, plans.local_batch_size, plans.accumulation_steps)
        assert plans.goodput == pytest.approx(throughput * efficiency(plans.batch_size, initial, noise_scale))
        # On one device every batch can be tried; the candidates are 20**(1/49) = 6 % apart at most.
        batch = np.arange(initial, limits.largest + 1)
        micro_batches = np.ceil(batch / (largest_local or limits.largest))
        local = np.ceil(batch / micro_batches)
        tried = model.throughput(1, local, micro_batches - 1) * efficiency(local * micro_batches, initial, noise_scale)
        tried[local * micro_batches > limits.largest] = 0
        assert plans.goodput[0] >= 0.9 * tried.max()

    @pytest.mark.parametrize("noise_scale", [10.0, 1000.0])
    def test_the_unit_of_time_does_not_matter(self, noise_scale):
        limits = BatchLimits(10, 37)
        quick, slow = (ThroughputModel(0.1 * unit, 0.01 * unit, 0.1 * unit, 0.1 * unit, 1.0) for unit in (1.0, 1e4))
        plans = [best_batches(model, noise_scale, range(1, 9), limits) for model in (quick, slow)]
        assert plans[0].batch_size.tolist() == plans[1].batch_size.tolist()
        assert plans[0].goodput == pytest.approx(1e4 * plans[1].goodput)

    def test_more_noise_or_more_synchronisation_asks_for_a_larger_batch(self):
        limits = BatchLimits(32, 4096)
        sizes = []
        for alpha_n, noise_scale in ((0.01, 100), (0.01, 10_000), (0.5, 10_000)):
            model = ThroughputModel(0.05, 0.001, alpha_n, 0.01, 1.2)
            sizes.append(best_batches(model, noise_scale, 4, limits).batch_size[0])
        assert sizes[0] < sizes[1] < sizes[2]

    def test_what_memory_cannot_hold_is_accumulated(self):
        model = ThroughputModel(0.5, 0.001, 0.1, 0.01, 1.0)
        plans = best_batches(model, math.inf, [1, 2, 4], BatchLimits(64, 256, largest_local=100))
        assert plans.accumulation_steps[0] > 0
        assert (plans.local_batch_size <= 100).all()

    def test_a_fixed_batch_is_divided(self):
        plans = best_batches(ThroughputModel(0.1, 0.1, 0.1, 0.1, 1.0), 50.0, [1, 3, 128], BatchLimits(96, 96))
        assert plans.local_batch_size.tolist() == [96, 32, 1]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((0, 8), "initial must be at least 1, but got 0"),
            ((8, 4), "largest must be at least initial = 8, but got 4"),
            ((8, 16, 0), "largest_local must be at least 1, but got 0"),
        ],
    )
    def test_bad_limits(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            BatchLimits(*arguments)


class TestProgress:
    def test_by_hand(self):
        outlook = Outlook(2, 10.0, np.array([1.0, 2.0, 3.0]))
        ends = np.exp(progress(outlook, (1, 2, 3), 1000.0, time_left_s=100.0, launch_cost_s=10.0))
        assert ends == pytest.approx([10 + 90 / MIN_GAIN, 10 + 200, 10 + 270 / MIN_GAIN])

    def test_ends_at_max_t_and_at_the_deadline(self):
        outlook = Outlook(1, 10.0, np.array([1.0, 2.0]))
        assert np.exp(progress(outlook, (1, 2), 50.0, 100.0, 0.0)) == pytest.approx([50, 50])
        assert np.exp(progress(outlook, (1, 2), 50.0, -5.0, 0.0)) == pytest.approx([10, 10])
        assert np.exp(progress(outlook, (1, 2), 50.0, 5.0, 6.0)) == pytest.approx([15, 10])


@st.composite
def situations(draw, max_trials=4, max_devices=9, linear=False):
    """Trials, some unknown, whose rates may fall, may rise again and may be far apart."""
    num_trials = draw(st.integers(1, max_trials))
    num_devices = draw(st.integers(num_trials, max_devices))
    sizes = [1, *sorted(draw(st.sets(st.integers(2, max_devices))))]
    values, outlooks = {}, {}
    for trial_id in range(num_trials):
        values[trial_id] = draw(st.none() | st.floats(-1, 1))
        if values[trial_id] is not None and draw(st.integers(0, 5)):
            rates = draw(st.lists(st.floats(0.01, 10), min_size=num_devices, max_size=num_devices))
            if linear:
                rates = [rates[0] * (n + 1) for n in range(num_devices)]
            held = draw(st.integers(1, num_devices))
            outlooks[trial_id] = Outlook(held, draw(st.floats(0.5, 90)), np.array(rates))
    time_left_s = draw(st.floats(1, 100))
    return values, outlooks, num_devices, sizes, MAX_T, time_left_s, draw(st.floats(0, 20))


def worth(devices, values, outlooks, max_t, time_left_s, launch_cost_s):
    """The sum that is maximised, for a division of the devices."""
    total = 0.0
    for position, trial_id in enumerate(
        sorted(values, key=lambda t: (math.inf if values[t] is None else values[t], t))
    ):
        if trial_id in outlooks:
            outlook = outlooks[trial_id]
            total += progress(outlook, [devices[trial_id]], max_t, time_left_s, launch_cost_s)[0] / (position + 1)
    return total


class TestAllocateGoodput:
    @given(situations())
    def test_the_devices_suffice_and_no_trial_grows_to_a_size_that_slows_it_down(self, situation):
        values, outlooks, num_devices, sizes, *_ = situation
        devices = allocate_goodput(*situation)
        assert set(devices) == set(values)
        assert sum(devices.values()) <= num_devices
        for trial_id, held in devices.items():
            outlook = outlooks.get(trial_id)
            if outlook is None:
                assert held == 1
            elif held != outlook.num_devices:
                assert held in sizes
                assert all(outlook.rates[size - 1] < outlook.rates[held - 1] for size in sizes if size < held)

    @settings(deadline=None, max_examples=examples(60))
    @given(situations(max_trials=3, max_devices=7))
    def test_no_other_division_is_worth_more(self, situation):
        values, outlooks, num_devices, sizes, *rest = situation
        allocated = worth(allocate_goodput(*situation), values, outlooks, *rest)
        for division in itertools.product(range(1, num_devices + 1), repeat=len(values)):
            devices = dict(zip(values, division, strict=True))
            allowed = all(
                size == 1 or (trial_id in outlooks and (size in sizes or size == outlooks[trial_id].num_devices))
                for trial_id, size in devices.items()
            )
            if allowed and sum(division) <= num_devices:
                # A size that is slower than a smaller one is never worth more, unless it is held.
                assert allocated >= worth(devices, values, outlooks, *rest) - 1e-9

    @given(situations())
    def test_a_further_device_or_second_never_lowers_the_worth(self, situation):
        values, outlooks, num_devices, sizes, max_t, time_left_s, cost_s = situation
        more = {
            trial_id: Outlook(outlook.num_devices, outlook.resource, np.append(outlook.rates, outlook.rates[-1]))
            for trial_id, outlook in outlooks.items()
        }
        few = allocate_goodput(*situation)
        many = allocate_goodput(values, more, num_devices + 1, sizes, max_t, time_left_s, cost_s)
        assert worth(many, values, more, max_t, time_left_s, cost_s) >= (
            worth(few, values, outlooks, max_t, time_left_s, cost_s) - 1e-9
        )
        longer = allocate_goodput(values, outlooks, num_devices, sizes, max_t, 2 * time_left_s, cost_s)
        assert worth(longer, values, outlooks, max_t, 2 * time_left_s, cost_s) >= (
            worth(few, values, outlooks, max_t, time_left_s, cost_s) - 1e-9
        )

    @given(st.integers(1, 6), st.integers(6, 24), st.floats(1, 1000), st.floats(0.1, 1))
    def test_of_equal_trials_the_better_holds_no_less(self, num_trials, num_devices, time_left_s, exponent):
        rates = np.arange(1.0, num_devices + 1) ** exponent
        values = {trial_id: float(trial_id) for trial_id in range(num_trials)}
        outlooks = dict.fromkeys(values, Outlook(1, 5.0, rates))
        devices = allocate_goodput(values, outlooks, num_devices, range(1, num_devices + 1), 1e9, time_left_s, 0.0)
        assert list(devices) == list(values)
        assert list(devices.values()) == sorted(devices.values(), reverse=True)

    def test_with_linear_scaling_shares_are_those_of_successive_halving(self):
        """The resource of rank k is 1/k of that of the best."""
        values = {trial_id: float(trial_id) for trial_id in range(4)}
        outlooks = dict.fromkeys(values, Outlook(1, 1e-6, np.arange(1.0, 101)))
        devices = allocate_goodput(values, outlooks, 100, range(1, 101), 1e9, 100.0, 0.0)
        assert [round(share, 1) for share in np.array(list(devices.values())) / 48] == [1.0, 0.5, 0.3, 0.2]
        assert sum(devices.values()) == 100

    def test_devices_go_where_they_speed_up(self):
        values = {0: 0.0, 1: 1.0}
        flat, steep = np.array([1.0, 1.01, 0.9, 0.8]), np.array([1.0, 1.9, 2.7, 3.4])
        outlooks = {0: Outlook(1, 5.0, flat), 1: Outlook(1, 5.0, steep)}
        assert allocate_goodput(values, outlooks, 4, range(1, 5), 1e9, 100.0, 1.0) == {0: 1, 1: 3}

    def test_a_valley_is_crossed_where_greedy_steps_would_stop(self):
        values = {0: 0.0}
        outlooks = {0: Outlook(1, 5.0, np.array([1.0, 0.8, 0.9, 3.0]))}
        assert allocate_goodput(values, outlooks, 4, range(1, 5), 1e9, 100.0, 1.0) == {0: 4}
        assert allocate_goodput(values, outlooks, 3, range(1, 4), 1e9, 100.0, 1.0) == {0: 1}

    def test_a_launch_that_does_not_pay_is_not_made(self):
        values, rates = {0: 0.0}, np.array([1.0, 1.9])
        for launch_cost_s, expected in ((1.0, 2), (45.0, 1)):
            outlook = {0: Outlook(1, 5.0, rates)}
            assert allocate_goodput(values, outlook, 2, (1, 2), 1e9, 100.0, launch_cost_s) == {0: expected}
        # Nor is one that releases a device which no other trial needs.
        slower = {0: Outlook(2, 5.0, np.array([1.0, 0.99]))}
        assert allocate_goodput(values, slower, 2, (1, 2), 1e9, 100.0, 1.0) == {0: 2}

    def test_a_trial_that_reaches_max_t_anyway_leaves_the_devices_to_others(self):
        values = {0: 0.0, 1: 1.0}
        rates = np.array([1.0, 1.9, 2.7, 3.4])
        outlooks = {0: Outlook(1, 95.0, rates), 1: Outlook(1, 10.0, rates)}
        assert allocate_goodput(values, outlooks, 4, range(1, 5), MAX_T, 50.0, 0.0) == {0: 1, 1: 3}

    def test_more_trials_than_devices_are_refused(self):
        with pytest.raises(ValueError, match="num_devices must be at least 2, the live trials, but got 1"):
            allocate_goodput({0: 1.0, 1: 1.0}, {}, 1, (1,), MAX_T, 1.0, 0.0)

    def test_no_trials(self):
        assert allocate_goodput({}, {}, 4, (1, 2, 3, 4), MAX_T, 1.0, 0.0) == {}
