from __future__ import annotations

from benchmarking.speed.replay_cost import measure


def test_a_replay_and_a_snapshot_are_tried():
    figures = measure("regularized_evolution", num_trials=30)
    assert figures["snapshot"] == "usable"
    assert int(figures["entries"]) > 2 * 30
