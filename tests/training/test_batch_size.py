from __future__ import annotations

import json
import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched.allocation.goodput import BatchLimits, efficiency
from syne_hypersched.allocation.throughput import ThroughputModel

pytest.importorskip("torch")

from syne_hypersched.training._batch_size import (
    LEARNING_RATE_RULES,
    BatchPlan,
    GoodputBatchSize,
    learning_rate_factor,
    split_batch,
)
from tests.thoroughness import examples

#: Half of the compute time of 128 samples does not depend on the batch: larger batches pay.
MODEL = ThroughputModel(alpha_c=0.1, beta_c=0.1 / 128, alpha_n=0.05, beta_n=0.01, gamma=1.2)


class TestLearningRate:
    @pytest.mark.parametrize(
        ("rule", "noise_scale", "factor"),
        [
            ("linear", None, 4.0),
            ("square_root", None, 2.0),
            # (var + sqr) / (var / 4 + sqr) with var / sqr = B / 32.
            ("adascale", 32.0, 2 / 1.25),
            ("adascale", 0.0, 1.0),
            ("adascale", math.inf, 4.0),
            ("adascale", None, 1.0),
        ],
    )
    def test_by_hand(self, rule, noise_scale, factor):
        assert learning_rate_factor(rule, 128, 32, noise_scale) == pytest.approx(factor)

    @given(st.sampled_from(LEARNING_RATE_RULES), st.integers(1, 10_000), st.integers(1, 10_000), st.floats(0, 1e9))
    def test_lies_between_one_and_linear(self, rule, batch_size, initial, noise_scale):
        factor = learning_rate_factor(rule, batch_size, initial, noise_scale)
        scale = batch_size / initial
        assert min(1, scale) * (1 - 1e-9) <= factor <= max(1, scale) * (1 + 1e-9)
        assert learning_rate_factor(rule, initial, initial, noise_scale) == pytest.approx(1)
        assert learning_rate_factor(rule, batch_size + 1, initial, noise_scale) >= factor * (1 - 1e-9)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("cubic", 1, 1), "rule must be one of 'adascale', 'square_root', 'linear', but got 'cubic'"),
            (("linear", 0, 1), "batch_size must be above 0 and finite, but got 0"),
            (("linear", 1, math.inf), "initial_batch_size must be above 0 and finite, but got inf"),
            (("adascale", 1, 1, math.nan), "noise_scale must be at least 0, but got nan"),
        ],
    )
    def test_bad_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            learning_rate_factor(*arguments)


class TestSplit:
    @given(st.integers(1, 5000), st.integers(1, 64), st.none() | st.integers(1, 512))
    def test_every_sample_has_a_place_and_fits(self, batch_size, num_devices, largest_local):
        plan = split_batch(batch_size, num_devices, largest_local)
        assert plan.batch_size >= batch_size
        assert plan.batch_size - batch_size < num_devices * (plan.accumulation_steps + 1)
        assert largest_local is None or plan.local_batch_size <= largest_local
        if plan.accumulation_steps:
            fewer = math.ceil(batch_size / (num_devices * plan.accumulation_steps))
            assert fewer > largest_local, "no more micro-batches than memory asks for"

    @pytest.mark.parametrize("name", ["batch_size", "num_devices", "largest_local"])
    def test_bad_arguments(self, name):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, but got 0"):
            split_batch(**{"batch_size": 8, "num_devices": 1, "largest_local": 8, name: 0})


def train(sizer, num_devices, noise_scale, steps=8, model=MODEL):
    """The plan after a number of calls, each with step times of the model."""
    for _ in range(steps):
        plan = sizer.plan(num_devices, noise_scale)
        for _ in range(5):
            sizer.record(plan, float(model.step_time_s(num_devices, plan.local_batch_size, plan.accumulation_steps)))
    return sizer.plan(num_devices, noise_scale)


def goodput(plan, noise_scale, initial):
    throughput = MODEL.throughput(plan.num_devices, plan.local_batch_size, plan.accumulation_steps)
    return float(throughput * efficiency(plan.batch_size, initial, noise_scale))


class TestGoodputBatchSize:
    def test_is_the_users_until_something_is_known(self):
        sizer = GoodputBatchSize(BatchLimits(128, 1024))
        assert sizer.plan(2, noise_scale=5000.0) == BatchPlan(2, 64, 0)
        sizer.record(sizer.plan(2, None), 0.1)
        assert sizer.plan(2, noise_scale=None) == BatchPlan(2, 64, 0)

    @pytest.mark.parametrize("num_devices", [1, 4])
    @pytest.mark.parametrize("noise_scale", [50.0, 1000.0, 20_000.0])
    def test_comes_close_to_the_best_batch(self, num_devices, noise_scale):
        sizer = GoodputBatchSize(BatchLimits(128, 4096))
        plan = train(sizer, num_devices, noise_scale)
        best = max(goodput(split_batch(size, num_devices), noise_scale, 128) for size in range(128, 4097))
        assert goodput(plan, noise_scale, 128) > 0.93 * best

    def test_without_noise_a_larger_batch_is_no_use(self):
        assert train(GoodputBatchSize(BatchLimits(128, 4096)), 1, noise_scale=0.0).batch_size == 128

    def test_stays_for_a_gain_of_less_than_a_twentieth(self):
        sizer = GoodputBatchSize(BatchLimits(128, 4096))
        plan = train(sizer, 2, 1000.0)
        for noise_scale in (980.0, 1020.0, 1000.0):
            assert train(sizer, 2, noise_scale, steps=1) == plan

    def test_grows_as_noise_does_and_shrinks_with_it(self):
        sizer = GoodputBatchSize(BatchLimits(128, 8192))
        sizes = [train(sizer, 1, noise_scale).batch_size for noise_scale in (100.0, 100_000.0, 100.0)]
        assert sizes[0] < sizes[1] > sizes[2]

    def test_doubles_at_most(self):
        sizer = GoodputBatchSize(BatchLimits(128, 4096))
        sizer.record(sizer.plan(1, None), float(MODEL.step_time_s(1, 128)))
        sizes = [128, *(sizer.plan(1, 1e6).batch_size for _ in range(6))]
        assert all(later <= 2 * earlier for earlier, later in pairwise(sizes))
        assert sizes[-1] > 1024

    def test_no_signal_is_no_reason_to_grow(self):
        assert train(GoodputBatchSize(BatchLimits(128, 4096)), 1, noise_scale=math.inf).batch_size == 128

    def test_what_memory_cannot_hold_is_accumulated(self):
        sizer = GoodputBatchSize(BatchLimits(128, 1024, largest_local=100))
        assert sizer.plan(1, None) == BatchPlan(1, 64, 1)
        plan = train(sizer, 1, 1e6)
        assert plan.local_batch_size <= 100

    @settings(deadline=None, max_examples=examples(40))
    @given(
        st.lists(
            st.tuples(st.integers(1, 8), st.none() | st.floats(0, 1e6), st.floats(1e-4, 10)), min_size=1, max_size=20
        ),
        st.integers(1, 200),
        st.integers(1, 30),
        st.none() | st.integers(1, 64),
    )
    def test_keeps_to_the_limits_whatever_is_measured(self, steps, initial, times, largest_local):
        limits = BatchLimits(initial, initial * times, largest_local)
        sizer = GoodputBatchSize(limits)
        for num_devices, noise_scale, step_time_s in steps:
            plan = sizer.plan(num_devices, noise_scale)
            assert plan.num_devices == num_devices
            rounding = num_devices * (plan.accumulation_steps + 1)
            assert limits.initial <= plan.batch_size < limits.largest + rounding
            assert largest_local is None or plan.local_batch_size <= largest_local
            sizer.record(plan, step_time_s)

    def test_state_goes_through_json(self):
        sizer = GoodputBatchSize(BatchLimits(128, 4096))
        plan = train(sizer, 2, 5000.0)
        again = GoodputBatchSize(BatchLimits(128, 4096))
        again.load_state_dict(json.loads(json.dumps(sizer.state_dict())))
        assert again.plan(2, 5000.0) == plan
        assert again.plan(4, 5000.0) == sizer.plan(4, 5000.0)
        tighter = GoodputBatchSize(BatchLimits(128, 256))
        tighter.load_state_dict(sizer.state_dict())
        assert tighter.plan(2, None).batch_size == 256

    def test_a_step_time_that_is_none_is_refused(self):
        with pytest.raises(TypeError, match="step_time_s must be positive and finite, but got '1'"):
            GoodputBatchSize(BatchLimits(1, 2)).record(split_batch(1, 1), "1")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="plan must be a BatchPlan, but got 1"):
            GoodputBatchSize(BatchLimits(1, 2)).record(1, 1.0)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="step_time_s must be positive and finite, but got 0"):
            GoodputBatchSize(BatchLimits(1, 2)).record(BatchPlan(1, 1, 0), 0)
