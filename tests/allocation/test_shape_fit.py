from __future__ import annotations

import math

import numpy as np
import pytest

from syne_hypersched.allocation._shape_fit import StepTimes, _newton_steps, fit_shapes, log_step_time
from syne_hypersched.allocation.throughput import DEFAULT_PRIOR, shape_model


def some_trials(num_trials, seed=0, noise=0.02):
    random_state = np.random.RandomState(seed)
    devices = np.tile([1.0, 2.0, 4.0, 8.0], (num_trials, 1))
    scale = np.exp(random_state.standard_normal((num_trials, 4, 1)))
    compute = 0.1 * scale[:, 0] + 0.6 * scale[:, 1] / devices
    sync = np.where(devices > 1, 0.02 * scale[:, 2] + 0.005 * scale[:, 3] * (devices - 2), 0)
    times = (compute + sync) * np.exp(noise * random_state.standard_normal(devices.shape))
    weight = np.ones_like(devices)
    weight[random_state.random_sample(devices.shape) < 0.3] = 0
    weight[:, 0] = 1
    return StepTimes(devices, 128 / devices, np.zeros_like(devices), times, weight)


def priors(num_trials):
    return np.tile(DEFAULT_PRIOR.mean, (num_trials, 1)), np.tile(DEFAULT_PRIOR.spread, (num_trials, 1))


def objective(theta, times, trial):
    """The objective of one trial, implemented again: squared errors of the logarithm, and the distance from the
    prior."""
    model = shape_model(theta, 128.0)
    used = times.weight[trial] > 0
    predicted = model.step_time_s(times.num_devices[trial][used], times.local_batch_size[trial][used])
    errors = np.log(predicted / times.step_time_s[trial][used]) / 0.02
    return np.concatenate([errors, (theta[1:] - DEFAULT_PRIOR.mean) / DEFAULT_PRIOR.spread])


def test_fits_of_many_trials_at_once_are_as_good_as_scipy_on_each():
    from scipy.optimize import least_squares

    times = some_trials(24)
    theta = fit_shapes(times, 128.0, priors(24))
    for _ in range(4):
        theta = fit_shapes(times, 128.0, priors(24), theta)
    bounds = [-30, -9, -9, -9, 0], [30, 9, 5, 3, math.log(10)]
    excess = []
    for trial in range(24):
        first = [math.log(times.step_time_s[trial, 0]), *DEFAULT_PRIOR.mean]
        best = least_squares(objective, first, bounds=bounds, args=(times, trial))
        excess.append((objective(theta[trial], times, trial) ** 2).sum() - 2 * best.cost)
    assert max(excess) < 0.5
    assert np.median(excess) < 0.02


def test_a_trial_is_fitted_alike_beside_others():
    times = some_trials(6)
    together = fit_shapes(times, 128.0, priors(6))
    for trial in range(6):
        entries = (getattr(times, name)[trial : trial + 1] for name in StepTimes.__dataclass_fields__)
        alone = fit_shapes(StepTimes(*entries), 128.0, priors(1))
        values = [(objective(theta, times, trial) ** 2).sum() for theta in (together[trial], alone[0])]
        assert values[0] == pytest.approx(values[1], abs=0.3)


def test_a_fit_goes_on_from_where_it_ended():
    times = some_trials(8)
    first = fit_shapes(times, 128.0, priors(8))
    start = np.where(np.arange(8)[:, None] < 4, first, np.nan)
    second = fit_shapes(times, 128.0, priors(8), start)
    for trial in range(8):
        before, after = ((objective(theta[trial], times, trial) ** 2).sum() for theta in (first, second))
        assert after <= before + 1e-6


def test_the_derivatives_are_those_of_the_step_time():
    random_state = np.random.RandomState(1)
    devices, accumulated = np.tile([1.0, 2.0, 4.0, 8.0], (5, 1)), np.tile([0.0, 1.0, 2.0, 5.0], (5, 1))
    relative = 2 / devices
    theta = random_state.standard_normal((5, 5)) * [1, 1, 1, 1, 0] + [0, 0, -1, -1, 0.5]
    value, derivatives = log_step_time(theta, devices, relative, accumulated)
    for coordinate in range(5):
        moved = theta.copy()
        moved[:, coordinate] += 1e-6
        slope = (log_step_time(moved, devices, relative, accumulated)[0] - value) / 1e-6
        assert derivatives[:, coordinate] == pytest.approx(slope, abs=1e-4)
    for row, model in enumerate(shape_model(coordinates, 64.0) for coordinates in theta):
        assert value[row] == pytest.approx(
            np.log(model.step_time_s(devices[row], 64 * relative[row], accumulated[row]))
        )


def test_where_some_coordinates_of_a_step_are_given_the_others_make_the_best_of_it():
    random_state = np.random.RandomState(0)
    roots, gradient = random_state.standard_normal((20, 5, 7)), random_state.standard_normal((20, 5))
    matrix = roots @ roots.transpose(0, 2, 1)
    given = random_state.random_sample((20, 5)) < 0.4
    wanted = np.where(given, random_state.standard_normal((20, 5)), 0.0)
    step = _newton_steps(matrix, gradient, given, wanted)
    assert step[given] == pytest.approx(wanted[given])
    slope = gradient + (matrix @ step[:, :, None])[:, :, 0]
    assert slope[~given] == pytest.approx(0.0, abs=1e-9)


def test_arrays_of_other_shapes_are_refused():
    ones = np.ones((2, 3))
    with pytest.raises(
        ValueError, match=r"weight must be of shape \(trials, points\) = \(2, 3\), but got shape \(3,\)"
    ):
        StepTimes(ones, ones, ones, ones, np.ones(3))
