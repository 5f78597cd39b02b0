from __future__ import annotations

from benchmarking.speed.watch_cost import measure_page, tune
from tests.installed import skip_without

skip_without("plotly")


def test_a_tuner_is_followed(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    tuning = tune(seed=0, deadline_s=4.0, watched=True)
    assert tuning.watching.answers >= 1
    assert tuning.watching.trials <= set(range(tuning.trials))


def test_a_large_run_has_a_page(tmp_path):
    figures = measure_page(tmp_path, num_trials=300, num_devices=16)
    assert figures["megabytes"] > 1
