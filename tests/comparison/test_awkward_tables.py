"""Comparisons and verdicts on tables with NaN, diverging configurations and few distinct values, in both directions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from syne_hypersched.comparison.presets import make_study
from syne_hypersched.comparison.runner import run_study
from syne_hypersched.comparison.settings import TableFile
from syne_hypersched.comparison.tables import results_table
from syne_hypersched.comparison.text import describe_verdicts
from syne_hypersched.comparison.verdicts import verdict_table

SCHEDULERS = ("hypersched", "hypersched+joint", "hypersched-published", "asha", "asha-promotion", "pasha")
MAX_T = 9


def write(path, change, sign):
    """A table of choices, whose values are changed, and times a sign."""
    random_state = np.random.RandomState(0)
    choices = [(a, b) for a in ("none", "skip", "conv") for b in ("pool", "conv1", "conv3", "skip")]
    values = random_state.uniform(size=(len(choices), 1)) + np.arange(1, MAX_T + 1) ** -0.5
    change(values, random_state)
    pd.DataFrame(
        {"first": first, "second": second, "epoch": level, "value": sign * values[row, level - 1], "seconds": level}
        for row, (first, second) in enumerate(choices)
        for level in range(1, MAX_T + 1)
    ).to_csv(path, index=False)


def nan_reports(values, random_state):
    values[random_state.uniform(size=values.shape) < 0.1] = np.nan


def mostly_diverging(values, random_state):
    values[3:] = np.nan


def ties(values, random_state):
    values[:] = np.round(values, 1)


def all_alike(values, random_state):
    values[:] = 0.5


@pytest.mark.parametrize(
    "change", [nan_reports, pytest.param(mostly_diverging, marks=pytest.mark.slow), ties, all_alike]
)
def test_both_directions_have_the_same_regrets_and_verdicts(tmp_path, change):
    regrets, verdicts = [], []
    for sign in (1, -1):
        path = tmp_path / f"{sign}.csv"
        write(path, change, sign)
        study = make_study(
            benchmarks=("table",), table=TableFile(str(path), "value", sign == 1, elapsed_time_attr="seconds"),
            schedulers=SCHEDULERS, deadlines=("0.5x", "1x"), num_devices=(4,), seeds=(0, 1),
        )  # fmt: skip
        rows = results_table(run_study(study, jobs=1))
        assert len(rows) == len(SCHEDULERS) * 2 * 2
        regrets.append(rows.regret.to_numpy())
        if change is all_alike:
            assert np.isnan(regrets[-1]).all()
            with pytest.raises(ValueError, match="must share at least 2 seeds"):
                verdict_table(rows, "hypersched", num_resamples=100)
            continue
        assert np.isfinite(regrets[-1]).all()
        assert (regrets[-1] >= -1e-9).all()
        verdicts.append(describe_verdicts(verdict_table(rows, "hypersched", num_resamples=100), "hypersched", 0.05))
    np.testing.assert_allclose(regrets[0], regrets[1], rtol=0, atol=1e-12)
    assert len(set(verdicts)) <= 1
