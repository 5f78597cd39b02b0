"""Noise on smooth tables."""

from __future__ import annotations

import numpy as np
import pytest

from syne_hypersched.blackboxes import TableBlackbox, with_noise


def smooth() -> TableBlackbox:
    levels = np.arange(1, 101)
    losses = [[1 / level for level in levels], [2 / level for level in levels]]
    return TableBlackbox(
        [{"x": 0.1}, {"x": 0.2}],
        {"loss": losses, "error": losses},
        [levels, 2 * levels],
        time_attr="step",
        name="curves",
    )


def values(table: TableBlackbox, x: float, seed: int, metric: str) -> np.ndarray:
    return np.array([report[metric] for report in table.learning_curve({"x": x}, seed=seed).reports])


def test_values_scatter_by_level_and_repetition_and_the_true_ones_are_kept():
    table, noisy = smooth(), with_noise(smooth(), "loss", 0.1, "true_loss", num_seeds=3)
    assert (noisy.num_seeds, noisy.metrics, noisy.time_attr) == (3, ("loss", "error", "true_loss"), "step")
    scatter = []
    for seed in range(3):
        for x in (0.1, 0.2):
            assert np.array_equal(values(noisy, x, seed, "true_loss"), values(table, x, 0, "loss"))
            assert np.array_equal(values(noisy, x, seed, "error"), values(table, x, 0, "error"))
            scatter.append(values(noisy, x, seed, "loss") - values(table, x, 0, "loss"))
            assert noisy.learning_curve({"x": x}, seed=seed).epoch_s == table.learning_curve({"x": x}).epoch_s
    assert np.std(scatter) == pytest.approx(0.1, rel=0.15)
    assert np.abs(np.corrcoef(scatter) - np.eye(6)).max() < 0.4
    again = with_noise(smooth(), "loss", 0.1, "true_loss", num_seeds=3)
    assert np.array_equal(values(again, 0.2, 2, "loss"), values(noisy, 0.2, 2, "loss"))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("accuracy", 0.1, "true"), ValueError, "metric must be in the table"),
        (("loss", 0.1, "error"), ValueError, "true_metric must not"),
        (("loss", -0.1, "true"), ValueError, "sd must be"),
        (("loss", "0.1", "true"), TypeError, "sd must be"),
        (("loss", 0.1, "true", 0), ValueError, "num_seeds must be"),
    ],
)
def test_what_cannot_be_done_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        with_noise(smooth(), *arguments)
