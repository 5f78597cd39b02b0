from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched.allocation.goodput import BatchLimits
from syne_hypersched.allocation.learnt_throughput import LearntThroughput, Steps
from syne_hypersched.allocation.throughput import ThroughputModel
from syne_hypersched.contract import (
    ACCUMULATION_STEPS,
    BATCH_SIZE,
    MAX_BATCH_SIZE,
    MIN_BATCH_SIZE,
    NOISE_SCALE,
    STEP_TIME_S,
)
from tests.thoroughness import examples

MODEL = ThroughputModel(0.121, 0.00568, 0.0236, 0.00634, 1.14)
SAMPLES = 50_000


def observe(learnt, trial_id, num_devices, model=MODEL, batch_size=128, slow=1.0, **steps):
    """What a trial of AdaptDL's published model would report."""
    step_time_s = slow * float(model.step_time_s(num_devices, batch_size / num_devices))
    epoch_time_s = SAMPLES / batch_size * step_time_s
    if steps.pop("says_steps", True):
        steps = {"step_time_s": step_time_s, "batch_size": batch_size, **steps}
    learnt.observe(trial_id, num_devices, epoch_time_s, Steps(**steps))
    return 1 / epoch_time_s


@pytest.mark.parametrize("says_steps", [True, False])
def test_seen_sizes_tell_the_others(says_steps):
    learnt = LearntThroughput()
    rates = {n: observe(learnt, 0, n, says_steps=says_steps) for n in (1, 2, 8)}
    learned = learnt.rates(0, 8)
    for size, rate in rates.items():
        assert learned[size - 1] == pytest.approx(rate, rel=0.03)
    truth = [1 / (SAMPLES / 128 * MODEL.step_time_s(n, 128 / n)) for n in (3, 4, 5, 6, 7)]
    assert learned[2:7] == pytest.approx(truth, rel=0.05)


def test_the_unit_is_resource_per_second_on_the_size_held():
    learnt = LearntThroughput()
    for epoch_time_s in (10.0, 11.0, 30.0):
        learnt.observe(0, 2, epoch_time_s)
    assert learnt.epoch_time_s(0) == (2, 11.0)
    assert learnt.rates(0, 4)[1] == pytest.approx(1 / 11.0)
    assert learnt.rates(0, 1)[0] == pytest.approx(learnt.rates(0, 4)[0])


def test_a_trial_seen_on_one_size_learns_from_similar_ones():
    learnt = LearntThroughput()
    observe(learnt, 9, 1)
    alone = learnt.rates(9, 8)[7] / learnt.rates(9, 8)[0]
    truth = float(MODEL.step_time_s(1, 128) / MODEL.step_time_s(8, 16))
    for trial_id, slow in enumerate((0.5, 1.0, 3.0, 10.0)):
        for num_devices in (1, 2, 4, 8):
            observe(learnt, trial_id, num_devices, slow=slow)
        learnt.rates(trial_id, 8)
        learnt.forget(trial_id)
    observe(learnt, 9, 1)
    shared = learnt.rates(9, 8)[7] / learnt.rates(9, 8)[0]
    assert abs(shared - truth) < 0.1 * truth < abs(alone - truth)


def test_a_trial_counts_once_in_the_prior_of_the_others_however_often_it_is_fitted():
    once, often = LearntThroughput(), LearntThroughput()
    for learnt, times in ((once, 1), (often, 30)):
        for _ in range(times):
            for num_devices in (1, 4):
                observe(learnt, 0, num_devices)
            learnt.rates(0, 4)
        observe(learnt, 1, 1)
    assert often.rates(1, 4) == pytest.approx(once.rates(1, 4), rel=1e-2)


def test_it_was_seen_that_more_devices_slow_a_trial_down():
    learnt = LearntThroughput()
    slow_network = ThroughputModel(0.02, 0.0001, 0.03, 0.02, 1.5)
    for num_devices in (1, 2, 4):
        observe(learnt, 0, num_devices, slow_network)
    assert learnt.rates(0, 4).argmax() == 0


def test_a_batch_that_follows_the_devices_scales_further():
    fixed, weak = LearntThroughput(), LearntThroughput()
    for num_devices in (1, 2):
        observe(fixed, 0, num_devices)
        observe(weak, 0, num_devices, batch_size=128 * num_devices)
    speed_ups = [learnt.rates(0, 8)[7] / learnt.rates(0, 8)[0] for learnt in (fixed, weak)]
    assert speed_ups[0] < 5 < speed_ups[1] < 8


def test_with_a_known_noise_scale_a_larger_batch_is_worth_less():
    speed_ups = []
    for noise_scale in (10.0, 1e6):
        learnt = LearntThroughput()
        for num_devices in (1, 2):
            observe(learnt, 0, num_devices, batch_size=128 * num_devices, noise_scale=noise_scale)
        speed_ups.append(learnt.rates(0, 8)[7] / learnt.rates(0, 8)[0])
    assert speed_ups[0] < 2 < speed_ups[1]


def test_a_script_that_chooses_its_batch_is_expected_to_choose_well():
    speed_ups = []
    for limits in (None, BatchLimits(128, 2048)):
        learnt = LearntThroughput()
        for num_devices in (1, 2, 4):
            observe(learnt, 0, num_devices, noise_scale=5000.0, limits=limits)
        speed_ups.append(learnt.rates(0, 8)[7] / learnt.rates(0, 8)[0])
    assert speed_ups[1] > 1.2 * speed_ups[0]


def test_step_times_and_epoch_times_are_not_mixed():
    learnt = LearntThroughput()
    observe(learnt, 0, 1, says_steps=False)
    observe(learnt, 0, 2)
    observe(learnt, 0, 4)
    rates = learnt.rates(0, 4)
    assert rates[3] / rates[1] == pytest.approx(MODEL.step_time_s(2, 64) / MODEL.step_time_s(4, 32), rel=0.05)


def test_a_forgotten_trial_is_unknown():
    learnt = LearntThroughput()
    assert (learnt.rates(0, 4), learnt.model(0), learnt.epoch_time_s(0)) == (None, None, None)
    observe(learnt, 0, 1)
    assert learnt.model(0) is not None
    learnt.forget(0)
    assert (learnt.rates(0, 4), learnt.model(0), learnt.epoch_time_s(0)) == (None, None, None)


@settings(deadline=None, max_examples=examples(25))
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(1, 16),
            st.floats(1e-3, 1e5),
            st.none() | st.floats(1, 1e5),
            st.integers(0, 3),
            st.none() | st.floats(0, 1e6),
            st.sampled_from([None, BatchLimits(8, 8), BatchLimits(16, 4096)]),
        ),
        min_size=1,
        max_size=40,
    ),
    st.booleans(),
)
def test_rates_are_positive_whatever_is_reported(observations, says_steps):
    learnt = LearntThroughput()
    for trial_id, num_devices, seconds, batch_size, accumulation_steps, noise_scale, limits in observations:
        steps = Steps(seconds / 10 if says_steps else None, batch_size, accumulation_steps, noise_scale, limits)
        learnt.observe(trial_id, num_devices, seconds, steps)
        rates = learnt.rates(trial_id, 16)
        assert rates.shape == (16,)
        assert np.isfinite(rates).all()
        assert (rates > 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0, 1.0), "num_devices must be at least 1, but got 0"),
        ((0, 1, 0.0), "epoch_time_s must be positive and finite, but got 0.0"),
        ((0, 1, math.nan), "epoch_time_s must be positive and finite, but got nan"),
    ],
)
def test_bad_observations(arguments, message):
    with pytest.raises(ValueError, match=message):
        LearntThroughput().observe(*arguments)


class TestSteps:
    def test_everything_is_taken_from_a_report(self):
        result = {
            STEP_TIME_S: 0.25,
            BATCH_SIZE: 64,
            ACCUMULATION_STEPS: 3,
            NOISE_SCALE: 120.5,
            MIN_BATCH_SIZE: 32,
            MAX_BATCH_SIZE: 512,
            "loss": 0.1,
        }
        assert Steps.from_result(result) == Steps(0.25, 64.0, 3, 120.5, BatchLimits(32, 512))

    def test_nothing_need_be_there(self):
        assert Steps.from_result({"loss": 0.1}) == Steps()

    @pytest.mark.parametrize("nonsense", ["fast", None, math.nan, math.inf, -1, 0, True, [1]])
    def test_nonsense_counts_as_absent(self, nonsense):
        keys = (
            STEP_TIME_S,
            BATCH_SIZE,
            ACCUMULATION_STEPS,
            NOISE_SCALE,
            MIN_BATCH_SIZE,
            MAX_BATCH_SIZE,
        )
        assert Steps.from_result(dict.fromkeys(keys, nonsense)) == Steps()

    def test_limits_that_contradict_each_other_count_as_absent(self):
        assert Steps.from_result({MIN_BATCH_SIZE: 64, MAX_BATCH_SIZE: 32}).limits is None


def test_of_a_size_that_was_seen_on_several_nodes_the_fewest_count():
    clean, mixed = LearntThroughput(), LearntThroughput()
    for throughput in (clean, mixed):
        for num_devices, seconds in ((1, 10.0), (2, 5.5)):
            throughput.observe(0, num_devices, seconds)
        if throughput is mixed:
            throughput.observe(0, 2, 90.0, num_nodes=2)
            throughput.observe(0, 2, 5.5)
    assert mixed.rates(0, 4) == pytest.approx(clean.rates(0, 4), rel=1e-3)
