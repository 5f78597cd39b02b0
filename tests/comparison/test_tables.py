from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from syne_hypersched.comparison.runner import run_study
from syne_hypersched.comparison.tables import (
    align,
    comparison_table,
    results_table,
    summary_table,
    timings_table,
)

SCHEDULERS = ("hypersched", "asha", "random")


@pytest.fixture
def results(small_study):
    return run_study(small_study(seeds=(0, 1, 2, 3), num_devices=(2, 4), schedulers=SCHEDULERS))


def test_one_row_for_each_run_and_deadline(results):
    table = results_table(results)
    keys = ["num_devices", "scheduler", "deadline", "seed"]
    assert len(table) == len(table[keys].drop_duplicates()) == 2 * 3 * 2 * 4
    assert (table.metric == "error").all()
    assert table.regret.min() >= 0
    assert table.utilisation.between(0, 1).all()
    # A longer deadline never gives less, unless the scheduler has decided otherwise because of it.
    plain = table[table.scheduler != "hypersched"].pivot(index=["num_devices", "scheduler", "seed"], columns="deadline")
    assert (plain["value"]["1x"] <= plain["value"]["0.5x"]).all()


def test_the_comparison_is_that_of_the_results(results):
    from scipy import stats

    table, comparison = results_table(results), comparison_table(results)
    assert len(comparison) == 2 * 2 * 3
    for row in comparison.itertuples():
        here = table[(table.num_devices == row.num_devices) & (table.deadline == row.deadline)]
        by_seed = here.pivot(index="seed", columns="scheduler", values="value")
        values = by_seed[row.scheduler].to_numpy()
        assert row.value_mean == pytest.approx(values.mean())
        assert row.seeds == 4
        expected = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
        assert (row.value_low, row.value_high) == pytest.approx(expected)
        gains = by_seed["asha"].to_numpy() - values  # the error is minimised
        assert row.gain_mean == pytest.approx(gains.mean())
        assert (row.wins, row.ties, row.losses) == tuple(np.sum(np.sign(gains) == sign) for sign in (1, 0, -1))
        assert row.num_trials == pytest.approx(here[here.scheduler == row.scheduler].num_trials.mean())


def test_the_summary_has_the_columns_of_the_authors(results):
    summary = summary_table(results)
    assert set(summary) >= {
        *("trials_seen", "best_value", "best_at", "length_mean", "length_median", "length_p10", "length_p90"),
        *(f"top{rank}_{what}" for rank in (1, 2, 3) for what in ("length", "value")),
    }
    assert (summary.best_value == summary.top1_value).all()
    assert (summary.top1_value <= summary.top2_value).all()
    assert (summary.length_p10 <= summary.length_median).all()
    random = summary[(summary.scheduler == "random") & (summary.deadline == "1x")]
    assert (random.top1_length > 1).all()


def test_timings_are_apart_from_what_is_repeatable(results):
    timings = timings_table(results)
    assert len(timings) == len(results.runs)
    assert (timings.scheduler_us_per_report > 0).all()
    assert not set(timings) & {"value", "regret"}
    assert "scheduler_us_per_report" not in pd.concat([results_table(results), comparison_table(results)])


def test_cells_are_aligned():
    assert align([("a", "b"), ("long", "1.5")]) == "a       b\nlong  1.5"
    assert align([("a", "b"), ("long", "text")], left=2) == "a     b\nlong  text"
