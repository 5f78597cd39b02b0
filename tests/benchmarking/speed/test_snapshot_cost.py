from __future__ import annotations

from benchmarking.speed.snapshot_cost import measure


def test_every_figure_is_measured(tmp_path):
    figures = measure("published", num_trials=150, repeats=2, folder=tmp_path)
    assert all(value > 0 for value in figures.values())
    assert figures["entries"] > 2 * 150
