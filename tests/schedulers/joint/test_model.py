from __future__ import annotations

import math

import numpy as np
import pytest

from syne_hypersched.schedulers.joint._model import (
    Posterior,
    Scales,
    _evidence,
    covariances_of,
    crossing_of,
    expected_improvement,
    fitted,
    matern,
    narrowed,
    rank_correlation,
)


def squares(rows, others):
    return (rows.T[:, :, None] - others.T[:, None, :]) ** 2


@pytest.fixture
def rows():
    return np.random.RandomState(0).uniform(size=(12, 3))


def test_the_gradient_is_that_of_differences(rows):
    values = np.random.RandomState(1).normal(size=12)
    theta = np.array([-0.4, 0.1, 0.6, -1.5])
    _, gradient, _ = _evidence(squares(rows, rows), values, theta)
    for index in range(4):
        step = np.eye(4)[index] * 1e-5
        above, below = (_evidence(squares(rows, rows), values, theta + sign * step)[0] for sign in (1, -1))
        assert gradient[index] == pytest.approx((above - below) / 2e-5, rel=1e-4, abs=1e-6)


def test_predictions_leave_the_trial_itself_out(rows):
    values = np.random.RandomState(1).normal(size=12)
    theta = np.array([-0.4, 0.1, 0.6, -1.5])
    _, _, left_out = _evidence(squares(rows, rows), values, theta)
    covariance = matern(squares(rows, rows), np.exp(theta[:3]))[0]
    others = np.arange(12) != 4
    noisy = covariance[np.ix_(others, others)] + (math.exp(-1.5) + 1e-8) * np.eye(11)
    assert left_out[4] == pytest.approx(covariance[4, others] @ np.linalg.solve(noisy, values[others]))


def test_fitting_finds_out_which_hyperparameter_matters():
    rows = np.random.RandomState(2).uniform(size=(40, 2))
    values = np.sin(6 * rows[:, 0])
    values = (values - values.mean()) / values.std()
    before = Scales.prior(2)
    scales, left_out = fitted(squares(rows, rows), values, before, 12)
    assert scales.lengths[0] < scales.lengths[1] - 0.5
    assert scales.noise < before.noise
    assert rank_correlation(left_out, values) > 0.9


def test_what_says_nothing_is_noise_and_predicts_nothing():
    state = np.random.RandomState(3)
    rows, values = state.uniform(size=(60, 2)), state.normal(size=60)
    scales, left_out = fitted(squares(rows, rows), values, Scales.prior(2), 20)
    assert math.exp(scales.noise) > 0.3
    assert abs(rank_correlation(left_out, values)) < 0.4


def test_covariances_of_positions_are_materns(rows):
    lengths = np.array([0.02, 0.5, 3.0])
    others = np.concatenate([rows[:4], np.random.RandomState(5).uniform(size=(6, 3))])
    expected = matern(squares(rows, others), lengths)[0]
    np.testing.assert_allclose(covariances_of(rows / lengths, others / lengths), expected, rtol=1e-9, atol=1e-11)


def dense(rows, trials, lags, values, others, own):
    """Mean and covariance at the maximum resource, by the definition of the process."""
    lengths = np.full(3, 0.5)

    def covariance(first, i, u, second, j, v):
        between = matern(squares(first, second), lengths)[0]
        same = np.equal.outer(i, j)
        both = np.outer(u, v)
        return between * (1 + 0.5 * both) + 1 + 4 * both + same * (own + 0.3 * both)

    here = rows[trials]
    matrix = covariance(here, trials, lags, here, trials, lags) + 0.01 * np.eye(len(trials))
    fresh = np.arange(len(others)) + 1000
    cross = covariance(others, fresh, np.zeros(len(others)), here, trials, lags)
    mean = cross @ np.linalg.solve(matrix, values)
    prior = matern(squares(others, others), lengths)[0] + 1
    return mean, prior - cross @ np.linalg.solve(matrix, cross.T)


def test_predictions_are_those_of_the_process(rows):
    state = np.random.RandomState(4)
    # The reports of the last trial are at one level, as two that were made beyond the maximum resource are.
    trials = np.array([0, 0, 1, 2, 2, 2, 3, 4, 5, 5])
    lags = np.array([1.0, 0.4, 0.9, 1.0, 0.5, 0.0, 0.7, 0.2, 0.3, 0.3])
    values = state.normal(size=10)
    others = state.uniform(size=(7, 3))
    mean, covariance = dense(rows, trials, lags, values, others, own=0.2)
    lengths = np.full(3, 0.5)
    known = rows[:6]
    posterior = Posterior.of(matern(squares(known, known), lengths)[0], trials, lags, values, 0.2)
    with_trials = matern(squares(others, known), lengths)[0]
    np.testing.assert_allclose(posterior.mean(with_trials), mean, atol=1e-9)
    np.testing.assert_allclose(posterior.variances(with_trials), np.diag(covariance), atol=1e-9)
    between = matern(squares(others, others), lengths)[0]
    np.testing.assert_allclose(posterior.covariances(with_trials, with_trials, between), covariance, atol=1e-9)
    # Pending trials narrow the variances as reports at the maximum resource would.
    pending = covariance[:3, :3]
    gone = covariance[:, :3] @ np.linalg.solve(pending + 0.21 * np.eye(3), covariance[:3])
    np.testing.assert_allclose(
        narrowed(np.diag(covariance), covariance[:, :3], pending, 0.2), np.diag(covariance - gone), atol=1e-9
    )


@pytest.mark.parametrize("lags", [[1.0, 0.4, 0.9, 0.8, 0.1, 1.0], [0.0] * 6])
def test_trials_with_one_report_each_have_no_slopes(rows, lags):
    state = np.random.RandomState(6)
    values, others, trials = state.normal(size=6), state.uniform(size=(4, 3)), np.arange(6)
    mean, covariance = dense(rows, trials, np.array(lags), values, others, own=0.2)
    lengths = np.full(3, 0.5)
    posterior = Posterior.of(matern(squares(rows[:6], rows[:6]), lengths)[0], trials, np.array(lags), values, 0.2)
    with_trials = matern(squares(others, rows[:6]), lengths)[0]
    np.testing.assert_allclose(posterior.mean(with_trials), mean, atol=1e-9)
    np.testing.assert_allclose(posterior.variances(with_trials), np.diag(covariance), atol=1e-9)


def test_a_trial_that_was_best_early_and_one_that_got_far_are_predicted_by_their_curves():
    """The same curve, once to the end and once only to its beginning: the end is predicted for the second one, too."""
    rows = np.array([[0.5, 0.5, 0.5], [0.52, 0.5, 0.5]])
    trials, lags = np.array([0, 0, 0, 1]), np.array([1.0, 0.4, 0.0, 1.0])
    covariance = matern(squares(rows, rows), np.full(3, 0.5))[0]
    posterior = Posterior.of(covariance, trials, lags, np.array([-1.0, 0.5, 1.5, -1.0]), 0.05)
    assert posterior.means[1] > 0.7


def test_gains_that_vary_are_told_from_parallel_curves():
    trials, lags = np.repeat(np.arange(30), 2), np.tile([1.0, 0.0], 30)
    starts = np.random.RandomState(0).normal(size=30)
    parallel = np.stack([starts, starts + 2.0], axis=1).ravel()
    crossing = np.stack([starts, 2.0 + np.random.RandomState(1).normal(0, 2, size=30)], axis=1).ravel()
    assert crossing_of(trials, lags, parallel) < 0.15
    assert crossing_of(trials, lags, crossing) > 2
    assert crossing_of(trials, lags, 10 * crossing) == 4, "at most"
    assert crossing_of(np.repeat(np.arange(999), 2), np.tile([1.0, 0.0], 999), np.zeros(1998)) == 0.05, "at least"
    # Without a trial that has two levels it is the usual one.
    assert crossing_of(np.arange(5), np.ones(5), starts[:5]) == 1.0


def test_expected_improvement_is_that_of_the_normal_distribution():
    means, variances = np.array([0.0, 1.0, -2.0, 3.0]), np.array([1.0, 0.25, 4.0, 1e-9])
    z = (means - 0.5) / np.sqrt(variances)
    from scipy.stats import norm

    exact = np.sqrt(variances) * (z * norm.cdf(z) + norm.pdf(z))
    np.testing.assert_allclose(expected_improvement(means, variances, 0.5), exact, atol=1e-6)


def test_rank_correlation():
    first = np.array([3.0, 1.0, 2.0, 5.0])
    assert rank_correlation(first, np.exp(first)) == pytest.approx(1.0)
    assert rank_correlation(first, -first) == pytest.approx(-1.0)
    assert rank_correlation(first, np.ones(4)) == 0.0
    assert rank_correlation(first[:2], first[:2]) == 0.0


@pytest.mark.parametrize("span", [0.5, 1.0, 2.0])
def test_a_rank_correlation_does_not_depend_on_the_span_of_the_values(span):
    values = span * np.array([0.0, 0.25, 1.0])
    assert rank_correlation(values, values) == pytest.approx(1.0)
    assert rank_correlation(values, -values) == pytest.approx(-1.0)
    assert rank_correlation(values, np.full(3, span)) == 0.0
