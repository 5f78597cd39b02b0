from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched.allocation.scaling import PRIOR_SERIAL_SHARE
from syne_hypersched.allocation.throughput import (
    DEFAULT_PRIOR,
    ShapePrior,
    ThroughputModel,
    fit_throughput,
    shape_model,
)
from tests.thoroughness import examples

#: Coefficients published with AdaptDL's schedulers (Pollux, and Sia after it), for devices of one and of several nodes,
#: and their global batch.
PUBLISHED = [
    (ThroughputModel(0.121, 0.00568, 0.0118, 0.00317, 1.14), 128),
    (ThroughputModel(0.121, 0.00568, 0.0236, 0.00634, 1.14), 128),
    (ThroughputModel(0.023, 9.08e-5, 0.012109, 0.007306, 1.914794), 128),
    (ThroughputModel(0.023, 9.08e-5, 0.0133, 0.008036, 1.914794), 128),
]

coefficients = st.floats(1e-4, 1.0)
models = st.builds(ThroughputModel, coefficients, coefficients, coefficients, coefficients, st.floats(1, 10))


class TestModel:
    def test_by_hand(self):
        model = ThroughputModel(alpha_c=1.0, beta_c=0.5, alpha_n=2.0, beta_n=0.25, gamma=1.0)
        assert model.step_time_s(1, 4) == 3.0
        assert model.step_time_s(2, 4) == 5.0
        assert model.step_time_s(4, 4) == 5.5
        assert model.step_time_s(4, 4, accumulation_steps=2) == 11.5
        assert model.throughput(4, 4, 2) == 48 / 11.5
        overlapping = ThroughputModel(3.0, 0.0, 4.0, 0.0, gamma=2.0)
        assert overlapping.step_time_s(2, 1) == pytest.approx(5.0)

    def test_arrays_are_broadcast(self):
        model = PUBLISHED[0][0]
        table = model.throughput(np.arange(1, 5)[:, None], np.array([16, 32]))
        assert table.shape == (4, 2)
        assert table[2, 1] == model.throughput(3, 32)

    @given(models, st.integers(1, 64), st.integers(1, 512))
    def test_one_more_device_or_sample_never_shortens_a_step(self, model, num_devices, local):
        step = model.step_time_s(num_devices, local)
        assert step > 0
        assert model.step_time_s(num_devices + 1, local) >= step * (1 - 1e-12)
        assert model.step_time_s(num_devices, local + 1) >= step * (1 - 1e-12)
        # Nor do more devices make any single one more productive, or a larger batch a sample dearer.
        assert model.throughput(num_devices + 1, local) / (num_devices + 1) <= model.throughput(
            num_devices, local
        ) / num_devices * (1 + 1e-12)
        assert model.throughput(num_devices, local + 1) >= model.throughput(num_devices, local) * (1 - 1e-12)

    @given(models, st.integers(2, 64), st.integers(1, 512))
    def test_a_step_takes_at_least_the_longer_part_and_at_most_both(self, model, num_devices, local):
        compute, sync = model.compute_time_s(local), model.sync_time_s(num_devices)
        step = model.step_time_s(num_devices, local)
        assert max(compute, sync) * (1 - 1e-9) <= step <= (compute + sync) * (1 + 1e-9)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"alpha_c": -1.0}, "alpha_c must be at least 0 and finite, but got -1.0"),
            ({"beta_n": math.inf}, "beta_n must be at least 0 and finite, but got inf"),
            ({"gamma": 0.9}, "gamma must be from 1 to 10, but got 0.9"),
            ({"alpha_c": 0.0, "beta_c": 0.0}, r"alpha_c or beta_c must be above 0, but got 0.0 and 0.0"),
        ],
    )
    def test_bad_coefficients(self, change, message):
        good = {"alpha_c": 1.0, "beta_c": 1.0, "alpha_n": 1.0, "beta_n": 1.0, "gamma": 2.0}
        with pytest.raises(ValueError, match=message):
            ThroughputModel(**{**good, **change})


class TestFit:
    def test_one_point_is_met_and_the_rest_follows_the_prior(self):
        model = fit_throughput(1, 128, 0.5)
        assert model.step_time_s(1, 128) == pytest.approx(0.5, rel=1e-3)
        assert model.alpha_c == pytest.approx(0.5 * PRIOR_SERIAL_SHARE, rel=1e-2)
        speed_up = model.throughput(2, 64) / model.throughput(1, 128)
        assert 1.7 < speed_up < 1.95, "almost linear"

    def test_another_prior_is_followed_too(self):
        prior = ShapePrior((2.0, -1.0, -1.0, 1.0), (0.5, 0.5, 0.5, 0.5))
        model = fit_throughput(1, 128, 0.5, prior=prior)
        assert model.alpha_c / (128 * model.beta_c) == pytest.approx(math.exp(2.0), rel=1e-2)
        assert model.alpha_n / 0.5 == pytest.approx(math.exp(-1.0), rel=1e-2)

    @pytest.mark.parametrize(("true", "batch_size"), PUBLISHED)
    @pytest.mark.parametrize("weak", [False, True])
    def test_three_sizes_tell_those_between(self, true, batch_size, weak):
        """2 % of noise on each step, sixteen steps on each of three sizes: all others are within 5 %."""
        random_state = np.random.RandomState(0)
        sizes, unseen = np.array([1, 2, 8]), np.array([3, 4, 5, 6, 7])
        local, unseen_local = (np.full(len(n), 128.0) if weak else batch_size / n for n in (sizes, unseen))
        for _ in range(20):
            noise = np.exp(0.02 * random_state.standard_normal((16, 3)))
            fitted = fit_throughput(sizes, local, np.median(true.step_time_s(sizes, local) * noise, axis=0))
            truth = true.throughput(unseen, unseen_local)
            assert fitted.throughput(unseen, unseen_local) == pytest.approx(truth, rel=0.05)

    def test_accumulation_is_compute_alone(self):
        true = ThroughputModel(0.1, 0.01, 0.3, 0.05, 1.5)
        devices, local, accumulated = (
            np.array([1, 2, 4, 8, 2]),
            np.array([32, 64, 16, 32, 8]),
            np.array([0, 1, 3, 0, 7]),
        )
        times = true.step_time_s(devices, local, accumulated)
        fitted = fit_throughput(devices, local, times, accumulated)
        assert fitted.step_time_s(devices, local, accumulated) == pytest.approx(times, rel=0.02)
        assert fitted.step_time_s(4, 32, 2) == pytest.approx(true.step_time_s(4, 32, 2), rel=0.05)

    @settings(deadline=None, max_examples=examples(30))
    @given(st.lists(st.tuples(st.integers(1, 64), st.floats(1, 1e4), st.floats(1e-4, 1e4)), min_size=1, max_size=8))
    def test_every_input_gives_a_model_within_the_bounds(self, points):
        devices, local, times = (np.array(column) for column in zip(*points, strict=True))
        model = fit_throughput(devices, local, times)
        predicted = model.step_time_s(np.arange(1, 65), 128.0)
        assert np.isfinite(predicted).all()
        assert (predicted > 0).all()
        # The unit of time does not matter.
        scaled = fit_throughput(devices, local, times * 64)
        assert scaled.step_time_s(devices, local) == pytest.approx(64 * model.step_time_s(devices, local), rel=0.05)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((1, 128, 0.0), r"step_time_s must be above 0 and finite, but got \[\[0.0\]\]"),
            ((1, 128, math.nan), "step_time_s must be above 0"),
            ((0, 128, 1.0), "num_devices must be above 0"),
            ((1, -1, 1.0), "local_batch_size must be above 0"),
            ((1, 128, 1.0, -1), "accumulation_steps must be at least 0"),
            (([], [], []), "weight must be above 0 at one point of every trial at least"),
        ],
    )
    def test_bad_points(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            fit_throughput(*arguments)


def test_the_prior_expects_two_percent_of_synchronisation_that_grows_little():
    model = shape_model(np.array([0.0, *DEFAULT_PRIOR.mean]), 128.0)
    assert model.alpha_c == pytest.approx(PRIOR_SERIAL_SHARE)
    assert model.alpha_n == pytest.approx(0.02, rel=0.1)
    assert model.beta_n < model.alpha_n / 4
    assert 1 < model.gamma < 1.5
