from __future__ import annotations

import math

import pytest

from benchmarking.speed.watch_cost import PARTS, Part, describe, measure_page, median_interval, shares, tune
from tests.installed import skip_without

skip_without("plotly")


def test_a_tuner_is_followed_in_half_of_its_parts(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    pace = tune(rate=1e4, trials_a_part=4, blocks=2)
    assert [part.is_watched for part in pace.parts] == [*PARTS, *(not part for part in PARTS)]
    assert all(part.wall_s > 0 and part.tuner_cpu_s > 0 for part in pace.parts)
    assert pace.seen.answers >= 2  # one at least when the tuner has ended
    assert len(pace.seen.trials) >= 4 * (1 + 2 * len(PARTS))  # a tuner may start one more
    assert "| wall time | " in describe(pace)


def test_what_watching_adds_is_a_share_of_the_wall_time_alone():
    alone, watched = Part(False, 2.0, 1.0, 0.0), Part(True, 2.02, 1.01, 0.101)
    found = shares([watched, alone, alone, watched])
    assert found["processor time of the tuner"] == [pytest.approx(0.005)]
    assert found["wall time"] == [pytest.approx(0.01)]
    assert found["watching process"] == [pytest.approx(0.05)]


def test_the_interval_of_a_median_is_that_of_the_sign_test():
    assert median_interval(range(20)) == (5, 14)  # 0.959, the next one 0.885
    assert median_interval(range(6)) == (0, 5)  # 0.969
    assert median_interval(range(5)) == (-math.inf, math.inf)


def test_a_large_run_has_a_page(tmp_path):
    figures = measure_page(tmp_path, num_trials=300, num_devices=16)
    assert figures["megabytes"] > 1
