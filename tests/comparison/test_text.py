from __future__ import annotations

import math

import pytest

from syne_hypersched.comparison.runner import run_study
from syne_hypersched.comparison.text import describe, describe_growth, describe_summary, plus_minus


def test_every_scheduler_and_deadline_has_a_line(small_study):
    text = describe(run_study(small_study()))
    assert "curves, 4 devices, scaling resnet50, launch cost 1%, 2 seeds" in text
    assert "error (lower is better)" in text
    assert text.index("deadline 0.5x = ") < text.index("deadline 1x = ")
    for scheduler in ("hypersched", "asha", "random"):
        assert sum(line.startswith(scheduler) for line in text.splitlines()) == 2
    assert "gain over asha" in text


def test_noise_is_explained_where_there_is_some(small_study):
    legend = "the metric is the reported one, with noise"
    noisy = describe(run_study(small_study(benchmarks=("table+noise",), schedulers=("random", "asha"))))
    assert legend in noisy
    assert "curves+noise, 4 devices" in noisy
    assert legend not in describe(run_study(small_study(schedulers=("random", "asha"))))


def test_a_mean_that_is_rounded_to_zero_has_no_minus():
    assert plus_minus(-1e-9, math.nan, ".3f") == "0.000"
    assert plus_minus(-1e-9, 0.25, ".3f") == "0.000 ± 0.250"


def test_many_scenarios_are_seen_side_by_side(small_study):
    results = run_study(small_study(num_devices=(1, 2, 3, 4, 5), seeds=(0,), schedulers=("asha", "random")))
    brief, full = describe(results, brief=True), describe(results)
    assert "regret at 0.5x" in brief
    assert "\n5 devices" in brief
    assert "deadline 0.5x = " not in brief
    assert full.count("deadline 0.5x = ") == 5


def test_growth_has_a_line_for_each_number_of_devices(small_study):
    results = run_study(small_study(num_devices=(1, 4), seeds=(0,), schedulers=("asha",), deadlines=("1x",)))
    lines = describe_growth(results).splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["asha", "1"], ["asha", "4"]]


def test_the_summary_is_there_for_every_scenario(small_study):
    text = describe_summary(run_study(small_study(num_devices=(1, 4))))
    assert text.count("trials seen") == 2
    assert "1: " in text


def test_without_a_report_nothing_is_claimed(small_study):
    text = describe(run_study(small_study(deadlines=("0.1",), seeds=(0,))))
    assert "nan" not in text
    summary = describe_summary(run_study(small_study(deadlines=("0.1",), seeds=(0,))))
    assert "nan" not in summary


@pytest.mark.parametrize(
    ("mean", "high", "spec", "text"),
    [
        (0.5, 0.75, ".2f", "0.50 ± 0.25"),
        (0.5, 0.75, "+.2f", "+0.50 ± 0.25"),
        (0.5, math.nan, ".2f", "0.50"),
        (math.nan, math.nan, ".2f", ""),
    ],
)
def test_a_mean_with_its_interval(mean, high, spec, text):
    assert plus_minus(mean, high, spec) == text
